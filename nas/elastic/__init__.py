"""The mechanism: a subnet is the same plain model at a smaller size, and its weights are slices of the supernet's."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
