"""Parts of axes by place: slices keep their labels, single entries are named by the code and stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from nas.derive.labels.conditions import Table
from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import rule


@rule("slice")
def slice_(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tables:
    """A piece of an axis; a single entry is named by the code, and broadcasts."""
    tables = labels.of(x)
    tables[dim] = piece(labels, None if tables[dim] is None else tables[dim][start:end:step])
    return tables


def piece(labels: Labels, table: Table) -> Table:
    """Return the table of a piece of an axis; one of a single entry is always there."""
    if table is None or len(table) > 1:
        return table
    labels.conditions.freeze(table, "is picked by its place")
    return None


@rule("narrow")
def narrow(labels: Labels, node: fx.Node, x: fx.Node, dim: int, start: int, length: int) -> Tables:
    """A piece of an axis."""
    start %= labels.shape(x)[dim]
    tables = labels.of(x)
    tables[dim] = piece(labels, None if tables[dim] is None else tables[dim][start : start + length])
    return tables


@rule("select")
def select(labels: Labels, node: fx.Node, x: fx.Node, dim: int, index: int) -> Tables:
    """One entry, which is always there; the others may go."""
    tables = labels.of(x)
    if tables[dim] is not None:
        labels.conditions.freeze(tables[dim][index : index + 1 or None], "is picked by its place")
    del tables[dim]
    return tables


@rule("index")
def index(labels: Labels, node: fx.Node, x: fx.Node, indices: list[fx.Node | None]) -> Tables:
    """Indexed axes stay; the index's own axes take their place."""
    tables = labels.of(x)
    at = [d for d, each in enumerate(indices) if each is not None]
    given = [each for each in indices if each is not None]
    labels.freeze(x, at, "is indexed")
    shape = np.broadcast_shapes(*(tuple(labels.shape(each)) for each in given))
    own = labels.broadcast(node, given, shape)
    rest = [table for d, table in enumerate(tables) if d not in at]
    first = at[0] if at == [*range(at[0], at[-1] + 1)] else 0
    return [*rest[:first], *own, *rest[first:]]


@rule("index_select")
def index_select(labels: Labels, node: fx.Node, x: fx.Node, dim: int, which: Any) -> Tables:
    """Entries of an axis by their numbers."""
    labels.freeze(x, [dim], "is indexed")
    tables = labels.of(x)
    tables[dim] = None
    return tables


@rule("gather")
def gather(labels: Labels, node: fx.Node, x: fx.Node, dim: int, which: fx.Node, **_: Any) -> Tables:
    """Entries of an axis by their numbers; the other axes are those of the numbers."""
    labels.freeze(x, [dim], "is indexed")
    own, other = labels.of(x), labels.of(which)
    same = [a == b for a, b in zip(labels.shape(x), labels.shape(which), strict=True)]
    return [
        labels.unify(node, table, mine) if equal and d != dim % len(own) else table
        for d, (table, mine, equal) in enumerate(zip(other, own, same, strict=True))
    ]
