"""Training image-to-image generators: a plain teacher, then every subnet of the separable supernet beside it."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
