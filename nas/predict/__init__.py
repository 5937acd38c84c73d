"""Predictors fitted to samples of a search space."""
