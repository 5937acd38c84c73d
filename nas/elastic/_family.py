"""What a model family gives: a search space, the parts of its network with their axes, and how parts make a network.

A *part* is a block that is built from a few of the space's choices alone. The core builds each part once per block
configuration, cuts its tensors out of the supernet's by its layouts, and counts it once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from nas.elastic._layout import Layout
from nas.elastic._length import Choices
from nas.space import Choice, SearchSpace, Subnet


@dataclass(frozen=True)
class Part:
    """A block of the network.

    `build` makes the ordinary module from the choices; `layouts` names, for each of its tensors that is not the same
    in every subnet, the axes. `matrices` are the sizes of square learned matrices that only the supernet holds (see
    `Kernel`). `active_if` leaves the part out, as for a dimension; `reads` names dimensions that `build` reads beside
    those of the layouts. `group` is the row of a readable table that tells of the part; by default its container.
    """

    name: str
    build: Callable[[Choices], nn.Module]
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    active_if: tuple[str, tuple[Choice, ...]] | None = None
    reads: tuple[str, ...] = ()
    matrices: Mapping[str, int] = field(default_factory=dict)
    group: str = ""

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that decides the module."""
        names = [name for layout in self.layouts.values() for name in layout.dimensions]
        return tuple(dict.fromkeys([*names, *self.reads]))

    def is_active(self, choices: Choices) -> bool:
        """Whether a subnet of these choices has the part."""
        return self.active_if is None or choices.get(self.active_if[0]) in self.active_if[1]

    def key(self, choices: Choices) -> tuple[Choice | None, ...]:
        """The block configuration, None for inactive dimensions: equal keys make equal modules."""
        return tuple(choices.get(name) for name in self.dimensions)


@dataclass(frozen=True)
class Pass:
    """A program that is run `times` times in a row for one output, each time on `batch` inputs for one output."""

    program: str = ""
    times: int = 1
    batch: int = 1


@dataclass(frozen=True)
class Program:
    """A static module that is run for an output: the whole network, or one of several that together make the output.

    `view` gives the module of a static network, with the network's own weights; `example` its deterministic `Inputs`
    for a batch size. `dimensions` decide module and cost: subnets of equal choices there have equal programs.
    """

    view: Callable[[nn.Module], nn.Module]
    example: Callable[[Subnet, int], Any]
    dimensions: tuple[str, ...]

    def key(self, choices: Choices) -> tuple[Choice | None, ...]:
        """The choices that decide the program, None for inactive dimensions."""
        return tuple(choices.get(name) for name in self.dimensions)


Forward = Callable[[Any], torch.Tensor]
"""What computes an output from `Inputs`."""


class Family(ABC):
    """A kind of model with its search space.

    A tensor's name is the same in every subnet that has it: a static module of a subnet has a subset of the names of
    the largest. So blocks that may be left out stand in containers with stable names, such as `nn.ModuleDict`.
    """

    name: str
    space: SearchSpace
    options: Mapping[str, object]
    task: str = "classification"
    """The entry point in the group "anyfit.tasks" that says how its subnets are judged."""
    published_scale: tuple[tuple[float, ...], tuple[float, ...]] = (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    )
    """Mean and std, of images in [0, 1], that the published networks expect: ImageNet's unless the family says."""
    input_dimensions: tuple[str, ...] = ()
    """Dimensions that touch no weight but change the cost of every part, such as the resolution."""
    pass_dimensions: tuple[str, ...] = ()
    """Dimensions that decide nothing but which programs are run how often, such as the number of denoising steps."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Every part of the largest network; a part's name is its module's path in the network."""

    @abstractmethod
    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        """Make the static network of `subnet` from its parts' modules, by the part's name."""

    @abstractmethod
    def example_input(self, subnet: Subnet, batch_size: int = 1) -> Any:
        """Return deterministic `Inputs` of the static network of `subnet`: one batch, or several by argument's name."""

    @property
    def programs(self) -> Mapping[str, Program]:
        """Everything that is run for outputs, by name; by default the whole network, which has no name."""
        names = tuple(name for name in self.space.names if name not in self.pass_dimensions)
        return {"": Program(lambda network: network, self.example_input, names)}

    def passes(self, subnet: Subnet) -> Sequence[Pass]:
        """Return what is run for one output of `subnet`, in order; only `pass_dimensions` decide it."""
        return (Pass(),)

    def compose(self, programs: Mapping[str, Forward], subnet: Subnet) -> Forward:
        """Return what computes the network's output from its programs, whatever runs them.

        It calls each program as often, and on as many inputs, as `passes` says.
        """
        return programs[""]

    def prepare(self, x: Any, subnet: Subnet) -> Any:
        """Fit a batch made for the largest subnet to this one (images: to its resolution)."""
        return x

    def initialise(self, network: nn.Module) -> None:  # noqa: B027 (optional to override)
        """Set the first weights of the largest network; the modules' own by default."""

    def published_name(self, key: str) -> str | None:
        """Return our name of a tensor of the reference implementation's checkpoints; the same by default.

        None is for one that is not needed. Raises `NasError` for a name that no such checkpoint has.
        """
        return key

    def published_options(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
        """Return the family's options that a reference implementation's checkpoint tells; none by default.

        Raises `NasError` for a checkpoint of another layout.
        """
        return {}

    @cached_property
    def axis_dimensions(self) -> frozenset[str]:
        """The dimensions that decide how many entries an axis keeps: widths, heads, groups, expansions."""
        layouts = (layout for part in self.parts for layout in part.layouts.values())
        return frozenset(name for layout in layouts for axis in layout.axes for name in axis.dimensions)

    def uniform(self, share: float, **others: Any) -> Subnet:
        """Return the subnet that keeps about the same share of the entries of every axis.

        Args:
            share: from 0 to 1; the choices nearest to it are taken, the larger of two that are equally near.
            **others: choices of other dimensions by their name or its last word (`depth=2`); without, the largest.

        Returns:
            The subnet, canonical.
        """
        choices: dict[str, Choice] = {}
        for dimension in self.space.dimensions:
            word = dimension.name.rpartition(".")[2]
            choice = dimension.choices[-1]
            if dimension.name in self.axis_dimensions and not isinstance(choice, bool | str):
                numbers = [float(number) for number in dimension.choices]
                wanted = share * numbers[-1]
                place = min(range(len(numbers)), key=lambda i: (abs(numbers[i] - wanted), -numbers[i]))
                choice = dimension.choices[place]
            choices[dimension.name] = others.get(dimension.name, others.get(word, choice))
        return self.space.subnet(choices)

    def named(self) -> dict[str, Subnet]:
        """Return the subnets that have a name; a family adds those that its users know by one."""
        return {
            "largest": self.space.largest(),
            "half": self.uniform(0.5),
            "smallest": self.space.smallest(),
        }

    def build(self, subnet: Subnet) -> nn.Module:
        """Build the ordinary static network of `subnet`, freshly initialised, on the current default device."""
        self.space.validate(subnet)
        return self.assemble({p.name: p.build(subnet) for p in self.parts if p.is_active(subnet)}, subnet)
