"""From conditions to dimensions: atoms that always stand in the same columns are the units of one dimension."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from nas.derive.labels.conditions import Table
from nas.derive.labels.labels import Labels
from nas.derive.networks.program import BATCH
from nas.derive.spaces.axes import Units, axis_of
from nas.derive.spaces.kernels import elastic_kernels
from nas.elastic import Axis, Fixed

_ROUNDS = 50
_ASKED_FOR = {
    "stream": "is the width of a residual stream, which is offered with elastic='stream'",
    "head_size": "is the size of an attention head, which is offered with elastic='head_size'",
}


@dataclass(frozen=True)
class Found:
    """A dimension.

    Attributes:
        kind: "width", "heads", "head_size", "stream", or that of the batch.
        atoms: its units, in order.
        unit: entries of a tensor's axis that go with a unit, the fewest of any tensor.
        where: (tensor, axis) that have it.
    """

    kind: str
    atoms: tuple[int, ...]
    unit: int
    where: tuple[tuple[str, int], ...]


class Dimensions:
    """The dimensions of labels, and the axis of every table.

    Atoms are grouped; then those are frozen that cannot be dimensions, or are not asked for, until nothing changes.

    Attributes:
        kernels: that may be smaller, by dimension; they are no groups of atoms.

    Args:
        labels: of a graph; atoms are frozen in them.
        kinds: kinds of dimensions that are offered.
        lengths: returns the lengths that a dimension of so many units, each of so many entries, is offered in.
    """

    def __init__(
        self, labels: Labels, kinds: Iterable[str], lengths: Callable[[int, int], Sequence[int]]
    ) -> None:
        self._labels, self._kinds, self.lengths = labels, frozenset(kinds), lengths
        kernels = elastic_kernels(labels) if "kernel" in self._kinds else []
        self.kernels = {kernel.dimension: kernel for kernel in kernels}
        self.found: list[Found] = []
        self.names: list[str] = []
        self._axes: dict[bytes, Axis] = {}
        self.settle()

    def settle(self) -> None:
        """Group atoms anew, after some were frozen."""
        for _ in range(_ROUNDS):
            tables = {table.tobytes(): table for table in self._labels.everything()}
            self.found = self._group(list(tables.values()))
            self.units = Units([each.atoms for each in self.found], self._labels.conditions.count)
            frozen = self._freeze_what_is_none(list(tables.values()))
            if not frozen:
                self.names = self._named()
                self.units.call(self.names)
                return

    def offered(self) -> list[tuple[str, Found]]:
        """Return every dimension by name; the batch is none."""
        return [(n, f) for n, f in zip(self.names, self.found, strict=True) if f.kind != BATCH]

    def fix(self, name: str, reason: str) -> None:
        """Offer a dimension no longer: all of it is always there."""
        if (kernel := self.kernels.pop(name, None)) is None:
            self._fix(self.names.index(name), reason)
            return
        for table in self._labels.tensors[kernel.tensor][2:]:
            assert table is not None
            self._labels.conditions.freeze_atoms(table[:, 0], reason)

    def _fix(self, place: int, reason: str) -> None:
        self._labels.conditions.freeze_atoms(np.array(self.found[place].atoms), reason)

    @property
    def kernel_steps(self) -> dict[fx.Node, tuple[str, int]]:
        """The steps that a kernel decides the padding or the cost of, with its dimension and the dilation."""
        return {
            step: (name, dilation)
            for name, kernel in self.kernels.items()
            for step, dilation in kernel.steps.items()
        }

    def axis(self, table: Table, size: int) -> Axis:
        """Return the axis of a table; an `Elastic` has the dimension's name."""
        table = self._labels.conditions.resolve(table)
        if table is None:
            return Fixed(size)
        key = table.tobytes() + bytes(table.shape[1])
        if key not in self._axes:
            axis = axis_of(table, self.units)
            assert axis is not None, "tables that are no axes were frozen"
            self._axes[key] = axis
        return self._axes[key]

    def _named(self) -> list[str]:
        """Name dimensions by the first module whose weight has them as outputs, and by what they are."""
        names: list[str] = []
        for found in self.found:
            if found.kind == BATCH:
                names.append(BATCH)
                continue
            where = found.where
            tensor = next(
                (name for name, axis in where if axis == 0 and name.endswith(".weight")), where[0][0]
            )
            path, word = tensor.removeprefix("model.").rpartition(".")[0], found.kind
            if found.kind in ("heads", "head_size", "stream"):
                path = path.rpartition(".")[0]
            word = "width" if word == "stream" else word
            name = f"{path}.{word}" if path else word
            count = 2
            while name in names:
                name = f"{path}.{word}_{count}" if path else f"{word}_{count}"
                count += 1
            names.append(name)
        return names

    def _group(self, tables: Sequence[np.ndarray]) -> list[Found]:
        """Group atoms by the columns that they stand in, in the order in which parameters, then values have them."""
        marks = np.zeros(self._labels.conditions.count, np.uint64)
        rng = np.random.default_rng(0)
        for table in tables:
            for column in table.T:
                marks[np.unique(column)] += rng.integers(1, 2**62, dtype=np.uint64)
        first = [self._labels.conditions.resolve(t) for own in self._labels.tensors.values() for t in own]
        atoms = np.concatenate(
            [np.zeros(0, np.int64), *(t.ravel() for t in (*first, *tables) if t is not None)]
        )
        _, at = np.unique(atoms, return_index=True)
        groups: dict[int, list[int]] = defaultdict(list)
        for atom in atoms[np.sort(at)].tolist():
            if atom:
                groups[int(marks[atom])].append(atom)
        kinds = self._kinds_of_atoms()
        self._axes.clear()
        return self._located([(kinds.get(group[0], "width"), tuple(group)) for group in groups.values()])

    def _kinds_of_atoms(self) -> dict[int, str]:
        kinds: dict[int, str] = {}
        batch = self._labels.conditions.resolve(self._labels.batch)
        for kind in ("heads", "head_size", "stream", BATCH):  # the last that applies
            tables = [(own, t) for own, t in self._labels.roles if own == kind]
            for _, table in [*tables, *([(kind, batch)] if kind == BATCH else [])]:
                if (table := self._labels.conditions.resolve(table)) is not None:
                    kinds |= dict.fromkeys(np.unique(table).tolist(), kind)
        return kinds

    def _freeze_what_is_none(self, tables: Sequence[np.ndarray]) -> bool:
        """Freeze groups that are no dimension; return whether there were any."""
        lost: dict[int, str] = {}
        for place, each in enumerate(self.found):
            if each.kind == BATCH:
                if each.where:
                    lost[place] = "is an axis of a stored tensor"
            elif len(each.atoms) < 2:
                lost[place] = "has only one unit"
            elif len([name for name, _ in each.where if name in self._labels.trace.parameters]) < 2:
                lost[place] = "does not pass from one parameter to another"
            elif each.kind in _ASKED_FOR and each.kind not in self._kinds:
                lost[place] = _ASKED_FOR[each.kind]
        for table in tables if not lost else ():
            inner = int(self.units.dimension[table].max()) - 1
            if inner in lost or inner < 0:
                continue
            atoms, counts = np.unique(table, return_counts=True)
            if (whole := atoms[(counts == len(table)) & (atoms > 0)]).size:
                lost[int(self.units.dimension[whole[0]]) - 1] = "is needed by every entry of an axis"
            elif axis_of(table, self.units) is None:
                lost[inner] = "has no regular order: groups straddle parts of an axis"
        for place, each in enumerate(self.found) if not lost else ():
            if each.kind != BATCH and len(self.lengths(len(each.atoms), each.unit)) < 2:
                lost[place] = "has no smaller length that is offered"
        for place, reason in lost.items():
            self._fix(place, reason)
        return bool(lost)

    def _located(self, groups: Sequence[tuple[str, tuple[int, ...]]]) -> list[Found]:
        """Return dimensions with the tensors that have them, from one look at every tensor's axes."""
        units = Units([atoms for _, atoms in groups], self._labels.conditions.count)
        where: list[list[tuple[str, int]]] = [[] for _ in groups]
        unit = [0] * len(groups)
        for name, tables in self._labels.tensors.items():
            for axis, table in enumerate(tables):
                if (table := self._labels.conditions.resolve(table)) is None:
                    continue
                first = units.dimension[table][(units.place[table] == 0) & (table > 0)]
                for number, count in zip(*np.unique(first[first > 0], return_counts=True), strict=True):
                    where[number - 1].append((name, axis))
                    unit[number - 1] = min(unit[number - 1] or int(count), int(count))
        return [
            Found(kind, atoms, own or 1, tuple(at))
            for (kind, atoms), own, at in zip(groups, unit, where, strict=True)
        ]
