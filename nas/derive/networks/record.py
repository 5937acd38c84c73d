"""Writing a labelled graph down as a program, and reading off what its tensors' axes and products are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import fx

from nas.derive.labels.conditions import Table
from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import name_of, path_of
from nas.derive.networks.program import PIECES, PLACES, SIZED, Step, encode, target_of
from nas.elastic import Axis, Elastic, Fixed

AxisOf = Callable[[Table, int], Axis]


KernelSteps = Mapping[fx.Node, tuple[str, int]]
"""Convolutions and pads that a kernel's dimension decides, with the dilation."""


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates: of the module at `path`, a constant times the lengths of axes, for one input.

    There is a constant for each choice of the resolution, or one alone.
    """

    path: str
    constants: tuple[int, ...]
    axes: tuple[Axis, ...]


def record(
    labels: Labels, axis_of: AxisOf, blocks: Mapping[fx.Node, str], kernels: KernelSteps
) -> tuple[Step, ...]:
    """Return the steps of a graph; `blocks` says which nodes a dimension may leave out, `kernels` which it crops."""
    steps = []
    names = dict(zip(labels.trace.inputs, labels.trace.input_names, strict=True))
    for node in labels.trace.graph.nodes:
        block = blocks.get(node, "")
        if node in labels.trace.names:
            name = labels.trace.names[node]
            steps.append(Step(node.name, "tensor", (labels.trace.same.get(name, name),), block=block))
        elif node in labels.trace.inputs:
            steps.append(Step(node.name, "input", (names[node],)))
        elif node.op == "call_function" and not name_of(node).startswith(("_assert", "sym_")):
            steps.append(_step(labels, node, axis_of, block, kernels.get(node)))
    return tuple(steps)


def _step(labels: Labels, node: fx.Node, axis_of: AxisOf, block: str, kernel: tuple[str, int] | None) -> Step:
    name, axes = name_of(node), ()
    args: Any = node.args
    named: Any = node.kwargs
    if name in SIZED:
        axes = tuple(axis_of(table, size) for table, size in labels.axes(node))
        if name in ("layer_norm", "rms_norm"):
            axes = axes[-len(args[1]) :]
        elif name == "unflatten":
            dim = args[1] % len(labels.shape(args[0]))
            axes = axes[dim : dim + len(args[2])]
    elif name in PIECES:
        dim = args[2] if len(args) > 2 else named.get("dim", 0)
        pieces = zip(labels.values[node], labels.shapes(node) or [], strict=True)
        axes = tuple(axis_of(tables[dim], shape[dim]) for tables, shape in pieces)
    elif name in PLACES:
        dim = args[1] if len(args) > 1 else 0
        table, size = labels.axes(args[0])[dim]
        axes = (axis_of(table, size),)
    if name in ("repeat", "tile"):
        axes = _repeats(labels, node, axes)
    if not any(axis.dimensions for axis in axes):
        axes = ()
    groups = None
    if node in labels.groups and (table := labels.conditions.resolve(labels.groups[node])) is not None:
        groups = axis_of(table, len(table))
    target = target_of(node)
    if name in ("mT", "t", "numpy_T") and len(labels.shape(node)) > 1:  # what every exporter knows
        target, args = "aten.transpose.int", (args[0], -2, -1)
    return Step(
        node.name,
        target,
        tuple(encode(args)),
        {key: encode(value) for key, value in node.kwargs.items()},
        axes,
        groups,
        block,
        kernel,
    )


def _repeats(labels: Labels, node: fx.Node, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return how often each axis is repeated: as often as it is long where it was of one entry."""
    operand, times = node.args[0], node.args[1]
    shape = labels.shape(operand)  # pyright: ignore[reportArgumentType]
    lead = len(axes) - len(shape)
    return tuple(
        axis if place < lead or shape[place - lead] == 1 else Fixed(times[place - len(axes) + len(times)])  # pyright: ignore
        for place, axis in enumerate(axes)
    )


def costs(labels: Labels, axis_of: AxisOf, kernels: KernelSteps) -> tuple[Cost, ...]:
    """Return what costs multiply-accumulates, with the axes that may change; the batch is left out."""
    found = []
    is_followed = labels.conditions.resolve(labels.batch) is not None
    for product in labels.products:
        constant, axes = product.constant, []
        for table, size in product.axes:
            axis = axis_of(table, size)
            if axis.dimensions:
                axes.append(axis)
            else:
                constant *= size
        if product.node in kernels:
            name, _ = kernels[product.node]
            size = labels.shape(product.node.args[1])[2:]  # pyright: ignore[reportArgumentType]
            constant //= prod(size)
            axes += [Elastic(name)] * len(size)
        if not is_followed:
            constant //= max(1, labels.trace.batch)
        found.append(Cost(path_of(product.node), (constant,), tuple(axes)))
    return tuple(found)
