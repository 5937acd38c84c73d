"""What parts of derived subnets cost, computed from the lengths of axes for many subnets at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from nas.derive.networks.program import BATCH
from nas.derive.networks.specification import RESOLUTION, Specification
from nas.elastic import FULL, Axis, Cat, Elastic, Family, Fixed, Indices, Repeat, quantized_bytes
from nas.space import SearchSpace

Sizes = Mapping[str, tuple[tuple[Axis | int, ...], bool]]
"""For each stored tensor its axes, and whether it is a parameter."""


class Costs:
    """MACs, parameters and bytes of every part.

    Args:
        specification: of the family.
        space: of it, without bits.
        parts: names, in order.
        sizes: of every stored tensor of floats.
    """

    def __init__(
        self, specification: Specification, space: SearchSpace, parts: Sequence[str], sizes: Sizes
    ) -> None:
        self._space, self._parts, self._sizes = space, list(parts), sizes
        place = {name: i for i, name in enumerate(self._parts)}
        self._macs: dict[int, list[tuple[np.ndarray, tuple[Axis, ...]]]] = defaultdict(list)
        for cost in specification.costs:
            self._macs[place[cost.path]].append((np.array(cost.constants), cost.axes))
        self._tensors: dict[int, list[str]] = defaultdict(list)
        for name in sizes:
            self._tensors[place[name.rpartition(".")[0]]].append(name)

    def __call__(self, family: Family, codes: np.ndarray) -> np.ndarray:
        """Return int64 (n, parts, 3) for subnets of `family`, which may have bits of weights beside the dimensions."""
        columns = {BATCH: np.ones(len(codes), np.int64)}
        for name, own in zip(family.space.names, np.asarray(codes).T, strict=True):
            choices = np.array([int(choice) for choice in family.space[name].choices])
            columns[name] = np.where(own < 0, 0, choices[own])
        found = np.zeros((len(codes), len(self._parts), 3), np.int64)
        names = family.space.names
        size = np.asarray(codes)[:, names.index(RESOLUTION)] if RESOLUTION in names else 0
        for place, part in enumerate(family.parts):
            for constants, axes in self._macs[place]:
                found[:, place, 0] += constants[size] * _product(axes, columns)
            bits = next((columns[name] for name in part.reads if name.endswith(".bits")), None)
            for name in self._tensors[place]:
                axes, is_parameter = self._sizes[name]
                count = _product(axes, columns)
                found[:, place, 1] += is_parameter * count
                found[:, place, 2] += 4 * count
                if bits is not None and name.endswith(".weight"):
                    found[:, place, 2] -= _saved(axes, columns, bits)
            if part.active_if is not None:
                found[:, place] *= columns[part.active_if[0]][:, None]
        return found


def _product(axes: Sequence[Axis | int], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    total = np.ones(len(columns[BATCH]), np.int64)
    for axis in axes:
        total = total * (axis if isinstance(axis, int) else lengths(axis, columns))
    return total


def lengths(axis: Axis, columns: Mapping[str, np.ndarray]) -> np.ndarray | int:
    """Return the length of an axis in each of many subnets, from a column of lengths for each dimension."""
    if isinstance(axis, Fixed):
        return axis.n
    if isinstance(axis, Elastic):
        return columns[axis.name]
    if isinstance(axis, Cat):
        return sum(lengths(part, columns) for part in axis.parts)
    if isinstance(axis, Repeat):
        inner = axis.inner if isinstance(axis.inner, int) else lengths(axis.inner, columns)
        return lengths(axis.outer, columns) * inner
    assert isinstance(axis, Indices)
    return lengths(axis.of, columns)


def _saved(axes: Sequence[Axis | int], columns: Mapping[str, np.ndarray], bits: np.ndarray) -> np.ndarray:
    """Return the bytes that a weight of few bits is smaller than one of floats, in each of many subnets."""
    one = np.ones(len(bits), np.int64)
    rows = np.stack([bits, *(one * (a if isinstance(a, int) else lengths(a, columns)) for a in axes)], 1)
    found, inverse = np.unique(rows, axis=0, return_inverse=True)
    saved = [
        0 if own == FULL or not all(shape) else 4 * int(np.prod(shape)) - quantized_bytes(tuple(shape), own)
        for own, *shape in found.tolist()
    ]
    return np.array(saved)[inverse.ravel()]
