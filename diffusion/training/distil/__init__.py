"""Training a pipeline's UNet beside the frozen original: every subnet, or one that is recovered."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
