"""Axes joined, cut and padded: pieces of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from nas.derive.labels.conditions import Table
from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.indexing import piece
from nas.derive.labels.rules.registry import rule


def joined(tables: Sequence[Table], sizes: Sequence[int]) -> Table:
    """Return tables one after another; entries of an axis without labels are always there."""
    if all(table is None for table in tables):
        return None
    width = max(table.shape[1] for table in tables if table is not None)
    rows = [np.zeros((n, 1), np.int64) if t is None else t for t, n in zip(tables, sizes, strict=True)]
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in rows])


@rule("cat", "concat", "concatenate")
def cat(labels: Labels, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Tables:
    """One after another along an axis; the others exist together."""
    tensors = [tensor for tensor in tensors if labels.shape(tensor) != [0]]
    shape, found = labels.shape(node), []
    for d in range(len(shape)):
        parts = [labels.of(tensor)[d] for tensor in tensors]
        if d == dim % len(shape):
            found.append(joined(parts, [labels.shape(tensor)[d] for tensor in tensors]))
        else:
            found.append(labels.unify(node, *parts))
    return found


@rule("stack")
def stack(labels: Labels, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Tables:
    """A new axis; the others exist together."""
    found = [labels.unify(node, *parts) for parts in zip(*map(labels.of, tensors), strict=True)]
    found.insert(dim % (len(found) + 1), None)
    return found


@rule("split", "chunk", "split_with_sizes", "tensor_split", "unsafe_split", "unsafe_chunk")
def split(labels: Labels, node: fx.Node, x: fx.Node, _: Any, dim: int = 0) -> Tables:
    """Pieces of an axis."""
    found, start = [], 0
    for shape in labels.shapes(node) or []:
        tables = labels.of(x)
        tables[dim] = piece(labels, None if tables[dim] is None else tables[dim][start : start + shape[dim]])
        start += shape[dim]
        found.append(tables)
    return found


@rule("unbind")
def unbind(labels: Labels, node: fx.Node, x: fx.Node, dim: int = 0) -> Tables:
    """An axis is taken apart; the code names every entry."""
    labels.freeze(x, [dim], "is taken apart")
    tables = labels.of(x)
    del tables[dim]
    return [list(tables) for _ in labels.shapes(node) or []]


@rule("glu")
def glu(labels: Labels, node: fx.Node, x: fx.Node, dim: int = -1) -> Tables:
    """The second half of an axis gates the first."""
    tables, half = labels.of(x), labels.shape(node)[dim]
    if tables[dim] is not None:
        tables[dim] = labels.unify(node, tables[dim][:half], tables[dim][half:])
    return tables


@rule("pad", "constant_pad_nd")
def pad(labels: Labels, node: fx.Node, x: fx.Node, widths: Sequence[int], *mode: Any, **_: Any) -> Tables:
    """Zeros before and after are always there; other padding copies entries by their place."""
    tables, count = labels.of(x), len(labels.shape(x))
    is_constant = not mode or mode[0] == "constant" or not isinstance(mode[0], str)
    for place in range(len(widths) // 2):
        before, after, d = widths[2 * place], widths[2 * place + 1], count - 1 - place
        if not (before or after) or tables[d] is None:
            continue
        if before < 0 or after < 0 or not is_constant:
            labels.freeze(x, [d], "is padded with its own entries")
            tables[d] = None
        else:
            tables[d] = joined([None, tables[d], None], [before, labels.shape(x)[d], after])
    return tables
