"""Pruning a trained pipeline to one smaller one: a named subnet, given choices, or what a limit leaves room for."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
