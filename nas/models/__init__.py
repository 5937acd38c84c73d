"""Trained supernets on disk and in memory, their sources, and what they are for. Importing this imports no torch."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
