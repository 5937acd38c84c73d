"""Tensors made anew: constant ones take any length, counted ones have the length of their numbers."""

from __future__ import annotations

from typing import Any

from torch import fx

from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import rule


@rule("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty")
def filled(labels: Labels, node: fx.Node, *_: Any, **__: Any) -> Tables:
    """Every entry is alike, so an axis joins whatever it meets."""
    return [labels.fresh(size) for size in labels.shape(node)]


@rule(
    "arange", "eye", "linspace", "scalar_tensor", "tril_indices", "triu_indices", "rand", "randn",
    "randint", "randperm", "meshgrid",
)  # fmt: skip
def numbered(labels: Labels, node: fx.Node, *_: Any, **__: Any) -> Tables:
    """Entries differ by their place: always there."""
    shapes = [[None] * len(shape) for shape in labels.shapes(node) or []]
    return shapes if isinstance(node.meta["val"], tuple | list) else shapes[0]
