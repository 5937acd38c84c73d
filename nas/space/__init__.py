"""Search spaces: dimensions with their choices, and the subnets one can choose."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
