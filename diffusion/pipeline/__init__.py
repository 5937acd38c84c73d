"""A whole pipeline: its folder, its parts, what it is given, how it samples, and all of it as one family."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
