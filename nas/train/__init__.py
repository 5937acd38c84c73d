"""Training a supernet once, and measuring what its subnets are worth."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
