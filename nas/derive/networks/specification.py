"""What makes a derived family again without tracing: dimensions, axes, numbers, costs and the program, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from nas.derive.networks.norms import Norm
from nas.derive.networks.program import Program, Step
from nas.derive.networks.record import Cost
from nas.elastic import Axis, Cat, Elastic, Fixed, Indices, Repeat
from nas.errors import NasError
from nas.space import Dimension

VERSION = 1
RESOLUTION = "resolution"
"""The dimension that is the height and width of pictures."""


@dataclass(frozen=True)
class Input:
    """An input of the network: float noise, or whole numbers from `low` to `high`.

    Attributes:
        name: of the argument of the model's forward.
        shape: of one example, or the whole shape where the batch is fixed.
        dtype: such as "float32".
        low: smallest of the example's values, for whole numbers.
        high: largest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: int = 0
    high: int = 0

    @classmethod
    def of(cls, name: str, x: Tensor, is_batched: bool) -> Input:
        """Describe an example."""
        dtype = str(x.dtype).removeprefix("torch.")
        shape = tuple(x.shape[1:] if is_batched else x.shape)
        if x.is_floating_point():
            return cls(name, shape, dtype)
        return cls(name, shape, dtype, int(x.min()), int(x.max()))

    def example(self, lead: Sequence[int], generator: torch.Generator) -> Tensor:
        """Make a batch of examples."""
        dtype = getattr(torch, self.dtype)
        if dtype.is_floating_point:
            return torch.randn(*lead, *self.shape, generator=generator).to(dtype)
        return torch.randint(self.low, self.high + 1, (*lead, *self.shape), generator=generator).to(dtype)


@dataclass(frozen=True)
class Number:
    """A whole number of a module that is a length: `attribute` of the module at `path`, an entry of it at `place`."""

    path: str
    attribute: str
    place: int | None
    axis: Axis


@dataclass(frozen=True)
class Held:
    """A tensor of a network that is made of its graph: as what it is stored."""

    shape: tuple[int, ...]
    dtype: str
    is_parameter: bool


@dataclass(frozen=True)
class Specification:
    """A derived family without its weights.

    Attributes:
        name: of the space.
        dimensions: of the space; `RESOLUTION` is the size of the picture among the inputs.
        tensors: the axes of each tensor that is not of one size, by its name in the network.
        numbers: whole numbers of modules that follow lengths.
        costs: multiply-accumulates.
        inputs: of the network.
        batched: whether the first axis of the inputs may be of any length.
        output: which output of the model counts.
        blocks: the paths of modules that may be left out, by dimension.
        program: the graph, where subnets are made of it; None where they are made of the model's modules.
        held: tensors of such networks.
        norms: BatchNorm layers of such networks, by path.
        kernels: the dimension of each weight whose kernel may be smaller, by the tensor's name.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    tensors: Mapping[str, tuple[Axis, ...]]
    numbers: tuple[Number, ...]
    costs: tuple[Cost, ...]
    inputs: tuple[Input, ...]
    batched: bool
    output: str | int | None = None
    blocks: Mapping[str, str] = field(default_factory=dict)
    program: Program | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    norms: Mapping[str, Norm] = field(default_factory=dict)
    kernels: Mapping[str, str] = field(default_factory=dict)

    @property
    def picture(self) -> Input | None:
        """The input that is a picture, (channels, height, width); None where there is none, or several."""
        rank = 3 if self.batched else 4
        found = [x for x in self.inputs if len(x.shape) == rank and getattr(torch, x.dtype).is_floating_point]
        return found[0] if len(found) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; equal axes are written once."""
        axes = _Axes()
        program = None
        if self.program is not None:
            steps = [_step_to_list(step, axes) for step in self.program.steps]
            bypasses = {name: [*pair] for name, pair in self.program.bypasses.items()}
            program = {"steps": steps, "output": self.program.output, "bypasses": bypasses}
        found = {
            "version": VERSION,
            "name": self.name,
            "dimensions": [
                [d.name, [*d.choices], d.active_if and [d.active_if[0], [*d.active_if[1]]]]
                for d in self.dimensions
            ],
            "tensors": {name: [*map(axes.place, own)] for name, own in self.tensors.items()},
            "numbers": [[n.path, n.attribute, n.place, axes.place(n.axis)] for n in self.numbers],
            "costs": [[c.path, [*c.constants], [*map(axes.place, c.axes)]] for c in self.costs],
            "inputs": [{**asdict(each), "shape": [*each.shape]} for each in self.inputs],
            "batched": self.batched,
            "output": self.output,
            "blocks": dict(self.blocks),
            "program": program,
            "held": {name: [[*h.shape], h.dtype, h.is_parameter] for name, h in self.held.items()},
            "norms": {path: [norm.rank, norm.eps, norm.momentum] for path, norm in self.norms.items()},
            "kernels": dict(self.kernels),
        }
        return {**found, "axes": axes.written}

    @classmethod
    def from_dict(cls, value: Any) -> Specification:
        """Read the JSON object; raises `NasError` for another version, or what is none."""
        if not isinstance(value, Mapping) or value.get("version") != VERSION:
            version = value.get("version") if isinstance(value, Mapping) else None
            raise NasError(
                f"the specification of a derived family has version {version!r}, but {VERSION} is expected; adopt the "
                "model again"
            )
        axes: list[Axis] = []
        for written in value["axes"]:
            axes.append(_read_axis(written, axes))
        at = axes.__getitem__
        program = None
        if (graph := value["program"]) is not None:
            steps = tuple(_step_from_list(step, axes) for step in graph["steps"])
            program = Program(steps, graph["output"], {k: (a, b) for k, (a, b) in graph["bypasses"].items()})
        return cls(
            value["name"],
            tuple(Dimension(n, tuple(c), a and (a[0], tuple(a[1]))) for n, c, a in value["dimensions"]),
            {name: tuple(map(at, own)) for name, own in value["tensors"].items()},
            tuple(
                Number(path, attribute, place, at(axis)) for path, attribute, place, axis in value["numbers"]
            ),
            tuple(
                Cost(path, tuple(c) if isinstance(c, list) else (c,), tuple(map(at, own)))
                for path, c, own in value["costs"]
            ),
            tuple(Input(**{**each, "shape": tuple(each["shape"])}) for each in value["inputs"]),
            value["batched"],
            value["output"],
            value["blocks"],
            program,
            {
                name: Held(tuple(shape), dtype, is_one)
                for name, (shape, dtype, is_one) in value["held"].items()
            },
            {path: Norm(*norm) for path, norm in value["norms"].items()},
            value.get("kernels", {}),
        )


class _Axes:
    """Axes written once each, those inside of others before them."""

    def __init__(self) -> None:
        self.written: list[list[Any]] = []
        self._places: dict[Axis, int] = {}

    def place(self, axis: Axis) -> int:
        """Return the number of an axis, writing it if it is new."""
        if axis not in self._places:
            if isinstance(axis, Fixed):
                written = ["fixed", axis.n]
            elif isinstance(axis, Elastic):
                written = ["elastic", axis.name]
            elif isinstance(axis, Cat):
                written = ["cat", *map(self.place, axis.parts)]
            elif isinstance(axis, Repeat):
                inner = Fixed(axis.inner) if isinstance(axis.inner, int) else axis.inner
                written = ["repeat", self.place(axis.outer), self.place(inner)]
            elif isinstance(axis, Indices):
                written = ["indices", self.place(axis.of), *axis.order]
            else:
                raise TypeError(f"{axis!r} cannot be written as JSON")
            self._places[axis] = len(self.written)
            self.written.append(written)
        return self._places[axis]


def _read_axis(written: Sequence[Any], axes: Sequence[Axis]) -> Axis:
    kind, *values = written
    if kind == "fixed":
        return Fixed(values[0])
    if kind == "elastic":
        return Elastic(values[0])
    if kind == "cat":
        return Cat(*(axes[place] for place in values))
    if kind == "repeat":
        outer, inner = (axes[place] for place in values)
        return Repeat(outer, inner.n if isinstance(inner, Fixed) else inner)
    return Indices(axes[values[0]], tuple(values[1:]))


def _step_to_list(step: Step, axes: _Axes) -> list[Any]:
    groups = None if step.groups is None else axes.place(step.groups)
    own = [*map(axes.place, step.axes)]
    kernel = [] if step.kernel is None else [[*step.kernel]]
    return [step.name, step.target, [*step.args], dict(step.kwargs), own, groups, step.block, *kernel]


def _step_from_list(value: Sequence[Any], axes: Sequence[Axis]) -> Step:
    name, target, args, kwargs, own, groups, block, *kernel = value
    return Step(
        name,
        target,
        tuple(args),
        kwargs,
        tuple(axes[place] for place in own),
        None if groups is None else axes[groups],
        block,
        (kernel[0][0], kernel[0][1]) if kernel else None,
    )
