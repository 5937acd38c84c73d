"""Measuring how long networks take on this machine, and predicting it."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
