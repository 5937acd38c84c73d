"""Published models: what is known of them, how long they take on this machine, and which is best within a latency."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
