"""Making networks cheaper: importance, sensitivity, pruning, few bits, int8, and the rule of what is worth it."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
