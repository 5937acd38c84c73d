"""The exported graph as data: its steps with the axes that decide their numbers, and the network of any subnet from it.

A step holds what an operation is called with, in values of JSON. Where a number is a size (of a view, of a piece, of a
norm, groups), the step has axes, and the number of a subnet is their length. Sizes that contain the batch are computed
from the input.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import torch
from torch import Tensor, fx, nn

from nas.derive.labels.trace import name_of
from nas.elastic import Axis, LengthChoices

BATCH = "batch"
"""The name of the axis that is the batch: no dimension, but followed through the graph as if it were one."""
SIZED = {
    "view": 1, "reshape": 1, "_unsafe_view": 1, "expand": 1, "repeat": 1, "tile": 1, "new_zeros": 1, "new_ones": 1,
    "new_full": 1, "new_empty": 1, "zeros": 0, "ones": 0, "full": 0, "empty": 0, "layer_norm": 1, "rms_norm": 1,
    "unflatten": 2,
}  # fmt: skip
"""Operations whose sizes follow from the axes of their result, and the place of the argument."""
PIECES = ("split", "chunk", "split_with_sizes", "tensor_split", "unsafe_split", "unsafe_chunk")
PLACES = ("slice", "narrow", "select")
GROUPED = {"groups", "num_groups"}
_METHODS = {name: name for name in ("view", "reshape", "expand", "repeat")} | {"_unsafe_view": "reshape"}
_FILLING = {"zeros": torch.zeros, "ones": torch.ones, "empty": torch.empty, "full": torch.full}
_MODULES = {"getitem": operator.getitem}


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        name: of its result.
        target: the operation, such as "aten.conv2d.default"; "input" or "tensor" for what is given, "module" for a call
            of the module at the path that is its first argument.
        args: as JSON; results of other steps are {"step": name}.
        kwargs: likewise.
        axes: what decides its numbers: of the result (`SIZED`), of each piece (`PIECES`), of the operand (`PLACES`).
        groups: the axis of groups, where it has any.
        block: the dimension of the block that it belongs to and may be left out with; empty for none.
        kernel: the dimension of the kernel whose size decides its padding, with the dilation; None for no such.
    """

    name: str
    target: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    groups: Axis | None = None
    block: str = ""
    kernel: tuple[str, int] | None = None


@dataclass(frozen=True)
class Program:
    """A graph: steps in order, the one that is returned, and for blocks what stands in for their result.

    Attributes:
        bypasses: for each dimension of a block (result, operand): without the block the result is the operand.
    """

    steps: tuple[Step, ...]
    output: str
    bypasses: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def encode(value: Any) -> Any:
    """Return an argument as JSON."""
    if isinstance(value, fx.Node):
        return {"step": value.name}
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": value.type}
    if isinstance(value, float) and not -1e300 < value < 1e300:
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} cannot be written as JSON")


def decode(value: Any, steps: Callable[[str], Any]) -> Any:
    """Return an argument of JSON as the operation takes it."""
    if isinstance(value, list | tuple):
        return [decode(each, steps) for each in value]
    if not isinstance(value, Mapping):
        return value
    ((kind, text),) = value.items()
    if kind == "step":
        return steps(text)
    kinds: dict[str, Callable[[str], Any]] = {"float": float, "device": torch.device}
    return getattr(torch, text) if kind == "torch" else kinds[kind](text)


def operation(target: str) -> Any:
    """Return the function that a step's target names."""
    if target in _MODULES:
        return _MODULES[target]
    found: Any = torch.ops
    for part in target.split("."):
        found = getattr(found, part)
    return found


def target_of(node: fx.Node) -> str:
    """Return the name by which `operation` finds a node's function again."""
    return name_of(node) if not hasattr(node.target, "_schema") else str(node.target)


def kept(axis: Axis, choices: LengthChoices, largest: LengthChoices) -> list[int]:
    """Return the entries of the full axis that a subnet keeps."""
    return [i for start, stop in axis.segments(choices, largest) for i in range(start, stop)]


class _Writer:
    """Writes the graph of one subnet."""

    def __init__(self, program: Program, choices: LengthChoices, largest: LengthChoices, exact: bool) -> None:
        self._program, self._exact = program, exact
        self._choices, self._largest = {BATCH: 1, **choices}, {BATCH: 1, **largest}
        self.graph, self.constants = fx.Graph(), {}
        self._made: dict[str, Any] = {}
        self._tensors: dict[str, str] = {}
        self._batch: fx.Node | None = None
        self._left_out = {name for name in program.bypasses if not choices[name]}

    def write(self) -> fx.Graph:
        """Return the graph; tensors are attributes by their names, `constants` are to be added."""
        instead = {
            result: operand
            for name, (result, operand) in self._program.bypasses.items()
            if name in self._left_out
        }
        for step in self._program.steps:
            if step.name in instead:
                self._made[step.name] = self._value(instead[step.name])
            elif step.target == "input":
                self._made[step.name] = self.graph.placeholder(step.args[0])
            elif step.target == "tensor":
                self._tensors[step.name] = step.args[0]
            elif step.block not in self._left_out:
                self._made[step.name] = self._call(step)
        self.graph.output(self._value(self._program.output))
        return self.graph

    def _value(self, name: str) -> Any:
        """Return the result of a step; a tensor is read where it is first used."""
        if name not in self._made:
            self._made[name] = self._attribute(self._tensors[name])
        return self._made[name]

    def _attribute(self, name: str) -> fx.Node:
        return self.graph.create_node("get_attr", name)

    def _size(self, axis: Axis) -> Any:
        length = axis.length(self._choices)
        if BATCH not in axis.dimensions:
            return length
        if self._batch is None:
            first = next(self._made[s.name] for s in self._program.steps if s.target == "input")
            with self.graph.inserting_after(first):
                self._batch = self.graph.call_method("size", (first, 0))
        return self._batch if length == 1 else self.graph.call_function(operator.mul, (self._batch, length))

    def _call(self, step: Step) -> fx.Node:
        args = decode(step.args, self._value)
        if step.target == "module":
            return self.graph.call_module(args[0], tuple(args[1:]))
        kwargs = {key: decode(value, self._value) for key, value in step.kwargs.items()}
        if self._exact:
            args = [torch.float64 if value is torch.float32 else value for value in args]
            kwargs = {k: torch.float64 if value is torch.float32 else value for k, value in kwargs.items()}
        function, name = (
            operation(step.target),
            step.target.split(".")[-2].rstrip("_") if "." in step.target else "",
        )
        name = name or step.target
        if step.groups is not None:
            names = [argument.name for argument in function._schema.arguments]
            args[next(i for i, each in enumerate(names) if each in GROUPED)] = self._size(step.groups)
        if step.kernel is not None:
            self._pad_less(*step.kernel, args, place=1 if "pad" in name else 4)
        if step.axes and name in _METHODS:  # as code would call it, so that a tracer follows the batch
            return self.graph.call_method(
                _METHODS[name], (args[0], *(self._size(axis) for axis in step.axes))
            )
        if step.axes:
            function, args, kwargs = self._with_sizes(step, name, function, args, kwargs)
        return self.graph.call_function(function, tuple(args), kwargs)

    def _pad_less(self, dimension: str, dilation: int, args: list[Any], place: int) -> None:
        """Pad by as much less as the kernel's margin is narrower; a convolution behind a pad has no padding."""
        full, size = (int(choices[dimension]) for choices in (self._largest, self._choices))
        if len(args) > place and not isinstance(args[place], str):
            args[place] = [max(0, width - dilation * (full - size) // 2) for width in args[place]]

    def _with_sizes(
        self, step: Step, name: str, function: Any, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[Any, list[Any], dict[str, Any]]:
        if name in SIZED:
            args[SIZED[name]] = [self._size(axis) for axis in step.axes]
            function = _FILLING.get(name, function)
        elif name in PIECES:
            dim = args[2] if len(args) > 2 else kwargs.pop("dim", 0)
            args[1:] = [[self._size(axis) for axis in step.axes], dim]
            function = torch.ops.aten.split_with_sizes.default
        else:
            function, args = self._with_places(step, name, args)
        return function, args, kwargs

    def _with_places(self, step: Step, name: str, args: list[Any]) -> tuple[Any, list[Any]]:
        """Return a slice or a pick of what is left of the operand's axis."""
        (axis,), dim = step.axes, args[1] if len(args) > 1 else 0
        full = range(axis.length(self._largest))
        new = {old: place for place, old in enumerate(kept(axis, self._choices, self._largest))}
        if name == "select":
            return torch.ops.aten.select.int, [args[0], dim, new[full[args[2]]]]
        if name == "narrow":
            start = args[2] % len(full)
            wanted = full[start : start + args[3]]
        else:
            wanted = full[slice(*args[2:5])]
        places = [new[old] for old in wanted if old in new]
        first, count = places[0], len(places)
        if places == [*range(first, first + count)]:  # a view, so that what is written into it is seen
            return torch.ops.aten.narrow.default, [args[0], dim, first, count]
        constant = f"places_{len(self.constants)}"
        self.constants[constant] = torch.tensor(places)
        return torch.ops.aten.index_select.default, [args[0], dim, self._attribute(constant)]


class GraphNetwork(nn.Module):
    """A static network that runs the steps of a program; its tensors have the names that the model has them under."""

    def __init__(
        self,
        program: Program,
        choices: LengthChoices,
        largest: LengthChoices,
        *,
        exact: bool = False,
    ) -> None:
        """Write the code of a subnet; tensors are to be put in place.

        Args:
            program: of the model.
            choices: of the subnet.
            largest: of the largest one.
            exact: whether casts to single precision are casts to double precision.
        """
        super().__init__()
        writer = _Writer(program, choices, largest, exact)
        code = writer.write().python_code("self")
        scope = dict(code.globals)
        exec(_compiled(code.src), scope)
        # Its forward is the written code, with the inputs' names, which exporters read.
        own: Any = type(
            "GraphNetwork", (GraphNetwork,), {"forward": scope["forward"], "__module__": __name__}
        )
        self.__class__ = own  # pyright: ignore[reportAttributeAccessIssue]
        for name, places in writer.constants.items():
            self.register_buffer(name, places, persistent=False)


def _compiled(source: str) -> CodeType:
    return compile(source, "<derived network>", "exec")


def with_tensors(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Put tensors in place as buffers, making the modules on their paths; return the network."""
    for name, tensor in state.items():
        *path, leaf = name.split(".")
        module_at(network, path).register_buffer(leaf, tensor)
    return network


def module_at(network: nn.Module, path: Sequence[str]) -> nn.Module:
    """Return the module at a path, made of plain ones where there is none."""
    for part in path:
        if part not in network._modules:
            network.add_module(part, nn.Module())
        network = network._modules[part]  # pyright: ignore[reportAssignmentType]
    return network
