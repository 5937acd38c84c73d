"""Searching: which subnet is best within a budget, as an Optuna study whose finalists are measured.

Nothing is imported before it is used, so that a command line that only shows help stays quick.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
