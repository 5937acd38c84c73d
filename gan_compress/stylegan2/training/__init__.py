"""Training generators: from scratch against a discriminator, then every subnet beside the frozen full generator."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
