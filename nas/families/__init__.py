"""Model families by name, and the published ones that are written here. Importing this imports no torch."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
