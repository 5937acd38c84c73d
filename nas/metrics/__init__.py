"""Accuracy, distances of images and of sets of images."""
