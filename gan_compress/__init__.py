"""Anycost GAN generators as an elastic family: preview, final, projection, editing; it comes after `nas`."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
