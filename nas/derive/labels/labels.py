"""The labels of a graph's values, and what rules of operations do with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, fx

from nas.derive.labels import views
from nas.derive.labels.conditions import Conditions, Table
from nas.derive.labels.trace import Trace, path_of

Tables = list[Any]
"""The tables of a value's axes; of several tensors, a list of such lists."""


@dataclass(frozen=True)
class Normalised:
    """An operation that a masked network has to run over the kept entries alone.

    Attributes:
        operand: which is run over.
        kind: "norm" (the result is as long as the input), "reduce" (the axes go), "contract" (entries are summed) or
            "scale" (attention's default scale).
        axes: of the operand.
        is_mean: whether the result depends on how many entries there are.
    """

    operand: fx.Node
    kind: str
    axes: tuple[int, ...]
    is_mean: bool = True


@dataclass(frozen=True)
class Product:
    """Multiply-accumulates of an operation: a constant times the lengths of axes."""

    node: fx.Node
    constant: int
    axes: tuple[tuple[Table, int], ...]


class Labels:
    """Tables of every value of a trace; rules read and change them.

    Attributes:
        conditions: the atoms.
        values: tables of every node.
        tensors: tables of every parameter and buffer by name.
        normalised: operations that take a mean, a norm or a sum over an axis that may be elastic.
        groups: the table of groups of grouped convolutions, group norms and shuffles.
        products: what costs multiply-accumulates.
        roles: (kind, table): what is known of axes: "heads", "head_size" or "stream".
        unknown: operations without a rule, with how often each was met.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.conditions = Conditions()
        self.batch = self.conditions.fresh(trace.batch) if trace.batch else None
        self.values: dict[fx.Node, Tables] = {}
        self.tensors: dict[str, list[Table]] = {}
        self.normalised: dict[fx.Node, Normalised] = {}
        self.groups: dict[fx.Node, Table] = {}
        self.products: list[Product] = []
        self.roles: list[tuple[str, Table]] = []
        self.unknown: Counter[str] = Counter()
        self._sources: dict[fx.Node, int] = {}
        self._weights = 0

    def shape(self, node: fx.Node) -> list[int]:
        """Return the static shape of a node that is one tensor."""
        return [int(size) for size in node.meta["val"].shape]

    def shapes(self, node: fx.Node) -> list[list[int]] | None:
        """Return the shapes of a node that is one tensor or several; None if it is neither."""
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            return [[*value.shape]]
        if isinstance(value, tuple | list) and value and all(isinstance(each, Tensor) for each in value):
            return [[*each.shape] for each in value]
        return None

    def of(self, node: fx.Node) -> Tables:
        """Return a new list of the tables of a node's axes."""
        return list(self.values[node])

    def fresh(self, size: int) -> Table:
        """Return a new axis; one of a single entry is always there."""
        return self.conditions.fresh(size) if size > 1 else None

    def unify(self, node: fx.Node, *tables: Table) -> Table:
        """Have axes exist together that `node` brings together; return their table."""
        reason = f"meets a fixed axis in {path_of(node) or node.name}"
        found = tables[0]
        for table in tables[1:]:
            found = self.conditions.unify(found, table, reason)
        return found

    def freeze(self, node: fx.Node, axes: Sequence[int], reason: str) -> None:
        """Have axes of a value always there."""
        for axis in axes:
            self.conditions.freeze(self.values[node][axis], reason)

    def freeze_all(self, node: fx.Node, reason: str) -> None:
        """Have every axis of a value, or of several, always there."""
        for table in flat(self.values.get(node, [])):
            self.conditions.freeze(table, reason)

    def flatten(self, tables: Sequence[Table], sizes: Sequence[int]) -> Table:
        """Return the table of axes laid out as one."""
        return views.flatten(self.conditions, tables, sizes)

    def unflatten(self, table: Table, sizes: Sequence[int]) -> list[Table]:
        """Return the tables of an axis seen as several."""
        return views.unflatten(self.conditions, table, sizes)

    def broadcast(self, node: fx.Node, operands: Sequence[fx.Node], sizes: Sequence[int]) -> list[Table]:
        """Return the tables of a broadcast result; an axis of one entry says nothing."""
        found: list[Table] = []
        for axis in range(-len(sizes), 0):
            met = [
                self.values[operand][axis]
                for operand in operands
                if len(shape := self.shape(operand)) >= -axis and shape[axis] == sizes[axis] != 1
            ]
            found.append(self.unify(node, *met) if met else None)
        return found

    def count(self, node: fx.Node, constant: int, *axes: tuple[Table, int]) -> None:
        """Note that `node` costs `constant` times the lengths of `axes` in multiply-accumulates."""
        self.products.append(Product(node, constant, axes))

    def axes(self, node: fx.Node) -> list[tuple[Table, int]]:
        """Return (table, full length) of each axis."""
        return list(zip(self.values[node], self.shape(node), strict=True))

    def is_activation(self, node: fx.Node) -> bool:
        """Whether a value is computed from the network's input."""
        return bool(self.sources(node) & 1)

    def sources(self, node: fx.Node) -> int:
        """Return the nodes that a value is computed from, one bit each; the first says that an input is among them."""
        if node not in self._sources:
            bits = int(node in self.trace.inputs)
            for operand in node.all_input_nodes:
                bits |= self.sources(operand)
            own = 1 << len(self._sources) + 1
            self._weights |= own if node in self.trace.names else 0
            self._sources[node] = bits | own
        return self._sources[node]

    def descends(self, node: fx.Node, ancestor: fx.Node) -> bool:
        """Whether `node` is computed from `ancestor`, which was labelled before it."""
        own = self.sources(ancestor).bit_length() - 1
        return bool(self.sources(node) >> own & 1)

    def is_branch(self, node: fx.Node, ancestor: fx.Node) -> bool:
        """Whether `node` is computed from `ancestor` with weights: no mere function such as x + x³."""
        between = self.sources(node) & ~self.sources(ancestor)
        return self.descends(node, ancestor) and bool(between & self._weights)

    def everything(self) -> Iterator[np.ndarray]:
        """Yield the resolved table of every axis of every value that is not always there."""
        for tables in self.values.values():
            for table in flat(tables):
                if (resolved := self.conditions.resolve(table)) is not None:
                    yield resolved


def flat(tables: Tables) -> Iterator[Table]:
    """Yield the tables of one value or of several."""
    for each in tables:
        if isinstance(each, list):
            yield from flat(each)
        else:
            yield each
