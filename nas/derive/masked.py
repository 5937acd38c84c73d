"""A graph at full size whose left-out entries count for nothing: what a sliced network is compared with.

Weights of entries that are left out are zero. Where an operation takes a mean, a norm or a sum over entries, it is run
over the kept ones alone, for zeros would change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from nas.derive.labels.conditions import Table
from nas.derive.labels.labels import Labels, Normalised
from nas.derive.labels.trace import name_of


class Masked:
    """The graph of labels with some atoms left out.

    Args:
        labels: of the graph.
        left_out: atoms.
    """

    def __init__(self, labels: Labels, left_out: Sequence[int]) -> None:
        self._labels = labels
        self._out = np.zeros(labels.conditions.count, bool)
        self._out[list(left_out)] = True

    def kept(self, table: Table) -> Tensor | None:
        """Return the numbers of the entries that are kept, None for all."""
        table = self._labels.conditions.resolve(table)
        if table is None or not (out := self._out[table].any(1)).any():
            return None
        return torch.from_numpy(np.flatnonzero(~out))

    def state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors with zeros where an entry is left out."""
        found = dict(state)
        for name, tables in self._labels.tensors.items():
            for axis, table in enumerate(tables):
                if (
                    (kept := self.kept(table)) is not None
                    and name in found
                    and found[name].is_floating_point()
                ):
                    part = found[name].index_select(axis, kept)
                    found[name] = torch.zeros_like(found[name]).index_copy(axis, kept, part)
        return found

    @property
    def is_plain(self) -> bool:
        """Whether no operation has to be run over kept entries alone: masked weights are enough."""
        return not any(map(self._restricted, self._labels.normalised.values()))

    def _restricted(self, rule: Normalised) -> dict[int, Tensor]:
        tables = self._labels.of(rule.operand)
        found = {axis: self.kept(tables[axis]) for axis in rule.axes}
        return {axis: kept for axis, kept in found.items() if kept is not None}

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """Run the graph in double precision on tensors by name, already masked, and on the network's inputs."""
        trace = self._labels.trace
        values: dict[fx.Node, Any] = dict(zip(trace.inputs, inputs, strict=True))
        last = {operand: node for node in trace.graph.nodes for operand in node.all_input_nodes}
        for node in trace.graph.nodes:
            if node in trace.names:
                values[node] = state[trace.names[node]]
            elif node.op == "call_function" and not name_of(node).startswith("_assert"):
                values[node] = self._run(node, values)
                for operand in node.all_input_nodes:
                    if last[operand] is node and operand is not trace.output:
                        values.pop(operand, None)
        return values[trace.output]

    def _run(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        target: Any = node.target
        rule = self._labels.normalised.get(node)
        kept = self._restricted(rule) if rule else {}
        more: dict[str, Any] = {}
        if rule is not None and kept:
            operand = values[rule.operand]
            for axis, own in kept.items():
                part = operand.index_select(axis, own)
                is_kept_long = rule.kind in ("contract", "scale")
                operand = torch.zeros_like(operand).index_copy(axis, own, part) if is_kept_long else part
            values = {**values, rule.operand: operand}
            more = {"scale": len(kept[rule.axes[0]]) ** -0.5} if rule.kind == "scale" else {}
        args = _doubled(map_arg(list(node.args), values.__getitem__))
        named = _doubled(map_arg([*node.kwargs.values()], values.__getitem__))
        if rule is None or rule.kind != "norm" or not kept:
            return target(*args, **dict(zip(node.kwargs, named, strict=True)), **more)
        full = self._labels.shape(rule.operand)
        self._shorten(node, args, kept, len(full))
        out = target(*args, **dict(zip(node.kwargs, named, strict=True)))
        for axis, own in kept.items():
            shape = list(out.shape)
            shape[axis] = full[axis]
            out = out.new_zeros(shape).index_copy(axis, own, out)
        return out

    def _shorten(self, node: fx.Node, args: list[Any], kept: Mapping[int, Tensor], rank: int) -> None:
        """Have a norm's own sizes, scales and shifts be those of the kept entries."""
        if name_of(node) in ("layer_norm", "rms_norm"):
            count = len(args[1])
            args[1] = list(args[0].shape[-count:])
            for place in range(2, min(4, len(args))):
                for axis, own in kept.items():
                    if isinstance(args[place], Tensor):
                        args[place] = args[place].index_select(axis - rank + count, own)
        elif name_of(node) == "group_norm":
            groups = self.kept(self._labels.groups[node])
            args[1] = args[1] if groups is None else len(groups)
            args[2:4] = [a.index_select(0, kept[1]) if isinstance(a, Tensor) else a for a in args[2:4]]


def _doubled(values: Any) -> list[Any]:
    return [torch.float64 if value is torch.float32 else value for value in values]
