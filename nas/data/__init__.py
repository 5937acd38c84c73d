"""Images for training and tests: where they come from, one fixed split. Importing this imports no torch."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
