"""What becomes of labels and dimensions: a specification, weights and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property

import numpy as np
from torch import Tensor

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import Network
from nas.derive.networks.family import DerivedFamily
from nas.derive.networks.norms import with_norms
from nas.derive.networks.numbers import numbers_of_layers
from nas.derive.networks.program import BATCH, Program
from nas.derive.networks.record import costs, record
from nas.derive.networks.specification import Held, Input, Specification
from nas.derive.report import DerivedDimension, FixedAxis, Proof, Report
from nas.derive.spaces.choices import lengths_of
from nas.derive.spaces.depth import Block
from nas.derive.spaces.units import Dimensions
from nas.elastic import Fixed
from nas.space import Dimension


class Draft:
    """Labels whose dimensions are settled.

    Args:
        labels: of the network's graph.
        dimensions: of the labels.
        blocks: that may be left out.
        network: the largest one.
        name: of the space.
        output: which output of the model counts.
    """

    def __init__(
        self,
        labels: Labels,
        dimensions: Dimensions,
        blocks: Sequence[Block],
        network: Network,
        name: str,
        output: str | int | None,
    ) -> None:
        self._labels, self._dimensions, self._network = labels, dimensions, network
        self._blocks = {block.dimension: block for block in blocks}
        self._name, self._output = name, output

    @cached_property
    def program(self) -> Program:
        """The graph with the axes that decide its numbers."""
        inside = {node: name for name, block in self._blocks.items() for node in block.nodes}
        bypasses = {name: (block.result.name, block.operand.name) for name, block in self._blocks.items()}
        steps = record(self._labels, self._dimensions.axis, inside, self._dimensions.kernel_steps)
        return Program(steps, self._labels.trace.output.name, bypasses)

    @cached_property
    def of_modules(self) -> Specification:
        """What makes the family of the model's own modules."""
        axis_of, trace = self._dimensions.axis, self._labels.trace
        kernels = {kernel.tensor: name for name, kernel in self._dimensions.kernels.items()}
        products = costs(self._labels, axis_of, self._dimensions.kernel_steps)
        tensors = {
            name: tuple(
                axis_of(table, size) for table, size in zip(tables, trace.state[name].shape, strict=True)
            )
            for name, tables in self._labels.tensors.items()
            if trace.same.get(name, name) == name
        }
        inputs = zip(trace.input_names, trace.examples, strict=True)
        return Specification(
            self._name,
            tuple(self._space()),
            {n: own for n, own in tensors.items() if n in kernels or any(axis.dimensions for axis in own)},
            tuple(numbers_of_layers(self._labels, axis_of, self._network)),
            tuple(replace(cost, path=self._first_paths[cost.path]) for cost in products),
            tuple(Input.of(name, x, bool(trace.batch)) for name, x in inputs),
            bool(trace.batch),
            self._output,
            {name: block.path for name, block in self._blocks.items()},
            kernels=kernels,
        )

    @cached_property
    def _first_paths(self) -> dict[str, str]:
        """The first path of each module, by any of its paths."""
        first: dict[int, str] = {}
        modules = self._network.named_modules(remove_duplicate=False)
        return {path: first.setdefault(id(module), path) for path, module in modules}

    @cached_property
    def of_graph(self) -> Specification:
        """What makes the family of the exported graph."""
        held = {
            name: Held(
                tuple(t.shape), str(t.dtype).removeprefix("torch."), name in self._labels.trace.parameters
            )
            for name, t in self.state().items()
        }
        nodes = self._labels.trace.graph.nodes
        ranks = {
            node.name: len(self._labels.shape(node))
            for node in nodes
            if isinstance(node.meta.get("val"), Tensor)
        }
        program, norms = with_norms(self.program, ranks)
        batched = BATCH in self._dimensions.names
        return replace(self.of_modules, numbers=(), program=program, held=held, norms=norms, batched=batched)

    def state(self, names: Set[str] | None = None) -> dict[str, Tensor]:
        """Return the weights under the names of the family's network: `names`, or those of the graph."""
        trace = self._labels.trace
        if names is not None:
            return {name: tensor for name, tensor in self._network.state_dict().items() if name in names}
        return {name: tensor for name, tensor in trace.state.items() if trace.same.get(name, name) == name}

    def _space(self) -> list[Dimension]:
        """Return a dimension for every block, and behind it those that only it has."""
        found = [Dimension(name, (False, True)) for name in self._blocks]
        for dimension in self.dimensions:
            if dimension.kind != "depth":
                tensors = [where.partition("[")[0] for where in dimension.where]
                block = next((n for n, b in self._blocks.items() if all(_is_in(t, b) for t in tensors)), None)
                active = None if block is None else (block, (True,))
                found.append(Dimension(dimension.name, dimension.choices, active))
        return found

    @cached_property
    def dimensions(self) -> list[DerivedDimension]:
        """Every dimension with what is known of it."""
        blocks = [
            DerivedDimension(name, "depth", 1, 1, (False, True), (block.path.removeprefix("model."),))
            for name, block in self._blocks.items()
        ]
        kernels = [
            DerivedDimension(name, "kernel", k.size, 1, k.choices, tuple(_place(k.tensor, a) for a in k.axes))
            for name, k in self._dimensions.kernels.items()
        ]
        widths = [
            DerivedDimension(
                name,
                each.kind,
                len(each.atoms),
                each.unit,
                lengths_of(len(each.atoms), each.unit),
                tuple(_place(tensor, axis) for tensor, axis in each.where),
                self._renormalised(each.atoms),
            )
            for name, each in self._dimensions.offered()
        ]
        return blocks + widths + kernels

    def _renormalised(self, atoms: Sequence[int]) -> tuple[str, ...]:
        found = []
        for node, rule in self._labels.normalised.items():
            tables = self._labels.of(rule.operand)
            for axis in rule.axes if rule.is_mean else ():
                table = self._labels.conditions.resolve(tables[axis])
                if table is not None and np.isin(table, atoms).any():
                    found.append(node.name)
        return tuple(dict.fromkeys(found))

    def report(
        self, family: DerivedFamily, proof: Proof | None, note: str, seconds: Mapping[str, float]
    ) -> Report:
        """Return what is told of the family."""
        space = family.space
        totals = family.part_costs(space.codes([space.smallest(), space.largest()])).sum(1)
        told = {each.name: each for each in self.dimensions}
        given = [
            name for name in space.names if name not in told
        ]  # with the family: the resolution, bits of weights
        for name in given:
            kind, choices = name.rpartition(".")[2], space[name].choices
            where = [part.name.removeprefix("model.") for part in family.parts if name in part.reads]
            told[name] = DerivedDimension(name, kind, int(choices[-1]), 1, choices, tuple(where))
        return Report(
            tuple(told.values()),
            tuple(self.fixed()),
            (int(totals[0, 0]), int(totals[1, 0])),
            (int(totals[0, 1]), int(totals[1, 1])),
            "modules" if family.template is not None else "graph",
            note,
            dict(self._labels.unknown),
            proof,
            dict(seconds),
        )

    def fixed(self) -> list[FixedAxis]:
        """Return the axes of parameters that stay, by length and reason."""
        groups: dict[tuple[int, str], list[str]] = {}
        trace = self._labels.trace
        cropped = {
            (kernel.tensor, axis) for kernel in self._dimensions.kernels.values() for axis in kernel.axes
        }
        for name, tables in self._labels.tensors.items():
            for place, (table, size) in enumerate(zip(tables, trace.state[name].shape, strict=True)):
                if (
                    name in trace.parameters
                    and size > 1
                    and (name, place) not in cropped
                    and isinstance(self._dimensions.axis(table, size), Fixed)
                ):
                    reason = self._labels.conditions.reason(table)
                    groups.setdefault((size, reason), []).append(_place(name, place))
        return [FixedAxis(tuple(where), size, reason) for (size, reason), where in groups.items()]


def _place(tensor: str, axis: int) -> str:
    return f"{tensor.removeprefix('model.')}[{axis}]"


def _is_in(tensor: str, block: Block) -> bool:
    return tensor.startswith(f"{block.path.removeprefix('model.')}.")
