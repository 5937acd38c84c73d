"""Views, permutations and repetitions: labels move with the entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from nas.derive.labels import views
from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import rule


@rule(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as",
    "reshape_as", "_reshape_alias",
)  # fmt: skip
def view(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables:
    """The same entries under another shape."""
    return views.reshape(labels.conditions, labels.of(x), labels.shape(x), labels.shape(node))


@rule("permute")
def permute(labels: Labels, node: fx.Node, x: fx.Node, dims: list[int]) -> Tables:
    """Axes in another order."""
    tables = labels.of(x)
    return [tables[dim] for dim in dims]


@rule("transpose", "swapaxes", "swapdims")
def transpose(labels: Labels, node: fx.Node, x: fx.Node, first: int, second: int) -> Tables:
    """Two axes change places."""
    tables = labels.of(x)
    tables[first], tables[second] = tables[second], tables[first]
    return tables


@rule("t", "numpy_T", "mT", "matrix_H", "adjoint")
def reverse(labels: Labels, node: fx.Node, x: fx.Node) -> Tables:
    """A matrix is transposed."""
    tables = labels.of(x)
    return [*tables[:-2], *tables[-2:][::-1]]


@rule("movedim", "moveaxis")
def movedim(labels: Labels, node: fx.Node, x: fx.Node, source: Any, destination: Any) -> Tables:
    """Axes go elsewhere, the others keep their order."""
    tables = labels.of(x)
    sources = [int(d) % len(tables) for d in np.atleast_1d(source)]
    targets = [int(d) % len(tables) for d in np.atleast_1d(destination)]
    order = [d for d in range(len(tables)) if d not in sources]
    for target, own in sorted(zip(targets, sources, strict=True)):
        order.insert(target, own)
    return [tables[d] for d in order]


@rule("expand", "broadcast_to")
def expand(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables:
    """An axis that is repeated is a new one: it joins whatever it meets."""
    tables, old, new = labels.of(x), labels.shape(x), labels.shape(node)
    lead = len(new) - len(old)
    return [
        tables[d - lead] if d >= lead and old[d - lead] == size else labels.fresh(size)
        for d, size in enumerate(new)
    ]


@rule("repeat", "tile")
def repeat(labels: Labels, node: fx.Node, x: fx.Node, repeats: list[int]) -> Tables:
    """Whole axes one after another; one entry repeated is a new axis."""
    tables, shape = labels.of(x), labels.shape(x)
    lead = max(0, len(repeats) - len(shape))
    times = [*[1] * (len(shape) - len(repeats)), *repeats]
    found: Tables = []
    for d, count in enumerate(times):
        table = tables[d - lead] if d >= lead else None
        is_one = d < lead or shape[d - lead] == 1
        if is_one:
            found.append(labels.fresh(count))
        else:
            found.append(None if table is None else np.tile(table, (count, 1)))
    return found


@rule("repeat_interleave")
def repeat_interleave(
    labels: Labels, node: fx.Node, x: fx.Node, repeats: Any, dim: int | None = None, **_: Any
) -> Tables | None:
    """Every entry becomes a run."""
    if dim is None or not isinstance(repeats, int):
        return None
    tables = labels.of(x)
    tables[dim] = None if tables[dim] is None else np.repeat(tables[dim], repeats, 0)
    return tables


@rule("flip")
def flip(labels: Labels, node: fx.Node, x: fx.Node, dims: list[int]) -> Tables:
    """Axes run backwards."""
    tables = labels.of(x)
    for dim in dims:
        tables[dim] = None if tables[dim] is None else tables[dim][::-1]
    return tables


@rule("roll")
def roll(labels: Labels, node: fx.Node, x: fx.Node, shifts: Any, dims: Any = ()) -> Tables:
    """Where an entry goes depends on the length."""
    dims = [dims] if isinstance(dims, int) else dims
    labels.freeze(x, dims or range(len(labels.shape(x))), "is rolled")
    return labels.of(x)


@rule("diagonal", "tril", "triu")
def triangle(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables:
    """Which entries count depends on their numbers."""
    labels.freeze_all(x, "is compared by its place")
    return [None] * len(labels.shape(node))
