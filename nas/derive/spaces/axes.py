"""Reading tables of conditions off as axes: runs, concatenations, products, and any other order by its indices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nas.elastic import Axis, Cat, Elastic, Fixed, Indices, Repeat


class Units:
    """Which dimension an atom belongs to (0: none; the first is 1), and its place in it."""

    def __init__(self, dimensions: Sequence[Sequence[int]], count: int) -> None:
        self.dimension, self.place = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.lengths = np.array([1, *map(len, dimensions)])
        for index, atoms in enumerate(dimensions):
            self.dimension[list(atoms)] = index + 1
            self.place[list(atoms)] = np.arange(len(atoms))
        self.elastic = [Elastic(str(index)) for index in range(len(dimensions))]

    def call(self, names: Sequence[str]) -> None:
        """Give the dimensions' axes names."""
        self.elastic = [Elastic(name) for name in names]


def axis_of(table: np.ndarray, units: Units) -> Axis | None:
    """Return the axis that a resolved table describes.

    None where it is, piece by piece, no product of whole dimensions.
    """
    order = np.argsort(-units.dimension[table], 1, kind="stable")
    rows = np.take_along_axis(table, order, 1)
    kinds = units.dimension[rows]
    cuts = [0, *(np.flatnonzero((kinds[1:] != kinds[:-1]).any(1)) + 1).tolist(), len(rows)]
    pieces = [np.arange(start, stop) for start, stop in pairwise(cuts)]
    if (axes := _axes(rows, kinds, pieces, units)) is not None:
        return axes[0] if len(axes) == 1 else Cat(*axes)
    # Pieces of one kind need not stand together: gather them, and say where each entry comes from.
    _, kind = np.unique(kinds, axis=0, return_inverse=True)
    gathered = [np.flatnonzero(kind.ravel() == each) for each in range(kind.max() + 1)]
    if len(gathered) == len(pieces) or (axes := _axes(rows, kinds, gathered, units)) is None:
        return None
    places = np.argsort(np.concatenate(gathered)).tolist()
    return Indices(axes[0] if len(axes) == 1 else Cat(*axes), tuple(places))


def _axes(
    rows: np.ndarray, kinds: np.ndarray, pieces: Sequence[np.ndarray], units: Units
) -> list[Axis] | None:
    found = []
    for piece in pieces:
        names = kinds[piece[0]]
        used = names > 0
        if len(set(names[used].tolist())) < used.sum():
            return None
        axis = _product(units.place[rows[piece]][:, used], names[used], units)
        if axis is None:
            return None
        found.append(axis)
    return found


def _product(places: np.ndarray, names: np.ndarray, units: Units) -> Axis | None:
    """Return the axis of rows of places in several dimensions, each combination as often as any other."""
    if not len(names):
        return Fixed(len(places))
    lengths = units.lengths[names]
    times, rest = divmod(len(places), int(lengths.prod()))
    if rest or not times:
        return None
    for at, (name, length) in enumerate(zip(names.tolist(), lengths.tolist(), strict=True)):
        blocks = places.reshape(length, len(places) // length, len(names))
        others = np.arange(len(names)) != at
        is_outer = (blocks[:, :, at] == np.arange(length)[:, None]).all()
        if is_outer and (blocks[:, :, others] == blocks[:1, :, others]).all():
            inner = _product(blocks[0][:, others], names[others], units)
            return None if inner is None else _run(units.elastic[name - 1], inner)
    for count in range(times, 1, -1):
        if (
            times % count == 0
            and (places.reshape(count, -1, len(names)) == places[None, : len(places) // count]).all()
        ):
            inner = _product(places[: len(places) // count], names, units)
            return None if inner is None else _run(Fixed(count), inner)
    return _shuffled(places, names, units, times)


def _run(outer: Axis, inner: Axis) -> Axis:
    if isinstance(inner, Fixed):
        return outer if inner.n == 1 else Repeat(outer, inner.n)
    return Repeat(outer, inner)


def _shuffled(places: np.ndarray, names: np.ndarray, units: Units, times: int) -> Axis | None:
    lengths = units.lengths[names]
    codes = np.asarray(np.ravel_multi_index(tuple(places.T), tuple(lengths.tolist())))
    if (np.bincount(codes, minlength=int(lengths.prod())) != times).any():
        return None
    order = np.empty(len(codes), np.int64)
    order[np.argsort(codes, kind="stable")] = np.arange(len(codes))
    axis: Axis = Fixed(times)
    for name in names[::-1].tolist():
        axis = _run(units.elastic[name - 1], axis)
    return Indices(axis, tuple(order.tolist()))
