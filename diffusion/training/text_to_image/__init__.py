"""Training pipelines: from scratch on captioned images."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
