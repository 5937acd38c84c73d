"""How good a pipeline's images are, alone, as a search judges them, and side by side with others."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
