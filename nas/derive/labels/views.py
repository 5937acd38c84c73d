"""Tables of axes that a view lays out as one, takes apart, or both."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nas.derive.labels.conditions import Conditions, Table


def flatten(conditions: Conditions, tables: Sequence[Table], sizes: Sequence[int]) -> Table:
    """Return the table of several axes laid out as one, the last running fastest."""
    columns = []
    for place, table in enumerate(map(conditions.resolve, tables)):
        if table is not None:
            width = table.shape[1]
            grid = table.reshape(*(size if d == place else 1 for d, size in enumerate(sizes)), width)
            columns.append(np.broadcast_to(grid, (*sizes, width)).reshape(-1, width))
    return conditions.resolve(np.concatenate(columns, 1)) if columns else None


def unflatten(conditions: Conditions, table: Table, sizes: Sequence[int]) -> list[Table]:
    """Return the tables of one axis seen as several.

    A column that changes along one new axis alone goes there. Any other is split: its atoms become conjunctions of
    fresh ones, one for each place of each axis along which it changes.
    """
    table = conditions.resolve(table)
    columns: list[list[np.ndarray]] = [[] for _ in sizes]
    if table is None:
        return [None] * len(sizes)
    wide = [d for d, size in enumerate(sizes) if size > 1] or [0]
    for column in table.T:
        grid = column.reshape(sizes)
        along = [d for d in wide if (grid != grid.take([0], d)).any()] or wide[:1]
        corner = grid[tuple(slice(None) if d in along else 0 for d in range(len(sizes)))]
        if len(along) == 1:
            columns[along[0]].append(corner)
            continue
        fresh = [conditions.fresh(sizes[d]) for d in along]
        both = flatten(conditions, fresh, corner.shape)
        conditions.unify(corner.reshape(-1, 1), both, "taken apart where it has no common factor")
        for d, own in zip(along, fresh, strict=True):
            columns[d].append(own[:, 0])
    return [conditions.resolve(np.stack(own, 1)) if own else None for own in columns]


def reshape(
    conditions: Conditions, tables: Sequence[Table], old: Sequence[int], new: Sequence[int]
) -> list[Table]:
    """Return the tables after a view of shape `old` as `new`: by the smallest groups of axes."""
    if 0 in old or 0 in new:
        return [None] * len(new)
    found: list[Table] = [None] * len(new)
    for before, after in _groups(old, new):
        source, target = [d for d in before if old[d] != 1], [d for d in after if new[d] != 1]
        if len(source) == len(target) == 1:
            found[target[0]] = tables[source[0]]
        elif source and target:
            whole = flatten(conditions, [tables[d] for d in source], [old[d] for d in source])
            parts = unflatten(conditions, whole, [new[d] for d in target])
            for d, table in zip(target, parts, strict=True):
                found[d] = table
    return found


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Cut two shapes of equal product into the shortest pairs of runs of equal product."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while prod(old[start_i:i]) != prod(new[start_j:j]):
            if prod(old[start_i:i]) < prod(new[start_j:j]):
                i += 1
            else:
                j += 1
        groups.append((range(start_i, i), range(start_j, j)))
    return groups
