"""Model families by name, and trained supernets. Importing this imports no torch."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
