"""Profiles of a machine: measured samples, fitted predictors, drift since then."""
