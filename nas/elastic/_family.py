"""What a model family gives: a search space, the parts of its network with their axes, and how parts make a network.

A *part* is a block that is built from a few of the space's choices alone. The core builds each part once per block
configuration, cuts its tensors out of the supernet's by its layouts, and counts it once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.elastic._layout import Layout
from nas.elastic._length import Choices
from nas.space import Choice, SearchSpace, Subnet


@dataclass(frozen=True)
class Part:
    """A block of the network.

    Attributes:
        name: Path of its module in the network, such as "stages.1.blocks.0"; the same in every subnet that has it.
        build: Makes the ordinary module from the choices, on the current default device. Equal choices in
            `dimensions` make equal modules.
        layouts: The axes of each tensor, by its name in the module, that is not of the same size in every subnet.
        active_if: A dimension and those of its choices for which subnets have the part; None: all have it.
        reads: Dimensions that `build` reads beside those of the layouts: a flag, bits, a stride.
        matrices: Sizes of square learned matrices that only the supernet holds, by name in the module (see `Kernel`).
        group: Row of a readable table that tells of the part; by default its container.
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
        """Return the block configuration, None for inactive dimensions: equal keys make equal modules."""
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

    Attributes:
        view: Gives the module of a static network, with the network's own weights.
        example: Gives its deterministic `Inputs` for a subnet and a batch size.
        dimensions: What decides module and cost: subnets of equal choices there have equal programs.
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
    """A kind of model with its search space: all that the mechanism needs to know of a network.

    A subnet is the same plain model at a smaller size, and its weights are slices of the largest model's. A family
    gives the space, the parts with their axes, and `assemble`; from these follow running, extracting, sorting,
    calibrating, counting, profiling and exporting subnets, which no family does itself.

    Life cycle: a function registered in the entry point group "anyfit.families" makes a family from its options, here
    and again in every process that builds a network; the family is not changed after that. `Supernet` builds the
    largest network once and calls `initialise` for its first weights. For a subnet, the parts that are active are
    built, once a block configuration, and assembled; `example_input` is what it is traced, counted and measured on.

    A tensor's name is the same in every subnet that has it: a static module of a subnet has a subset of the names of
    the largest. So blocks that may be left out stand in containers with stable names, such as `nn.ModuleDict`.

    `nas.testing.families` has the tests that a family must pass; CONTRIBUTING.md shows one of another package.

    Source: weight slices of one supernet are those of once-for-all networks (Cai et al. 2020, "Once-for-All: Train One
    Network and Specialize it for Efficient Deployment") and slimmable networks (Yu et al. 2019).
    """

    name: str
    """The entry point in the group "anyfit.families" that makes it."""
    space: SearchSpace
    """The named dimensions with their choices, each from the smallest network to the largest."""
    options: Mapping[str, object]
    """What the entry point is called with to make an equal family: values of JSON."""
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
        """Every part of the largest network; a part's name is its module's path in the network.

        Each tensor of the network belongs to the part with the longest path that leads to it: a part whose module holds
        other parts has the tensors of its own alone, and its family says what parts cost. Asked for often: make them
        once.
        """

    @abstractmethod
    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        """Make the static network of a subnet from its parts.

        Args:
            modules: The module of each part that is active, by the part's name, in the order of `parts`. They are put
                in at that path as they are: one may be shared with other subnets.
            subnet: What is made.

        Returns:
            An ordinary module without any tensor but those of the parts. It takes `Inputs` as `example_input` makes
            them, and returns one tensor whose first axis is the batch.
        """

    @abstractmethod
    def example_input(self, subnet: Subnet, batch_size: int = 1) -> Any:
        """Make inputs that are always the same, on the processor.

        Args:
            subnet: Whose static network takes them: its resolution, for example.
            batch_size: The length of the first axis.

        Returns:
            One tensor (batch_size, ...), or several by the name of the network's argument.
        """

    @property
    def programs(self) -> Mapping[str, Program]:
        """Everything that is run for outputs, by name; by default the whole network, which has no name."""
        names = tuple(name for name in self.space.names if name not in self.pass_dimensions)
        return {"": Program(lambda network: network, self.example_input, names)}

    def passes(self, subnet: Subnet) -> Sequence[Pass]:
        """Return what is run for one output of `subnet`, in order; only `pass_dimensions` decide it.

        By default the whole network, once.
        """
        return (Pass(),)

    def compose(self, programs: Mapping[str, Forward], subnet: Subnet) -> Forward:
        """Return what computes the network's output from its programs, whatever runs them.

        Args:
            programs: What computes each program that `passes` names: a module, or a session of a runtime.
            subnet: Whose output it is.

        Returns:
            A function of `Inputs`. It calls each program as often, and on as many inputs, as `passes` says.
        """
        return programs[""]

    def part_costs(self, codes: np.ndarray) -> np.ndarray | None:
        """Return what parts cost where the family knows it without running them; None, by default, where it does not.

        Args:
            codes: of subnets (n, dimensions).

        Returns:
            int64 (n, parts, programs + 2): MACs for one input of each program, parameters, bytes.
        """
        return None

    def prepare(self, x: Any, subnet: Subnet) -> Any:
        """Fit a batch made for the largest subnet to this one (images: to its resolution); the batch itself by default.

        Args:
            x: `Inputs` of the largest subnet's network; not changed.
            subnet: Whose network is to take them.
        """
        return x

    def initialise(self, network: nn.Module) -> None:  # noqa: B027 (optional to override)
        """Set the first weights of the largest network, in place; the modules' own by default."""

    def published_name(self, key: str) -> str | None:
        """Return our name of a tensor of the reference implementation's checkpoints; the same by default.

        Args:
            key: The name in a checkpoint.

        Returns:
            The name in the largest network; None for one that is not needed.

        Raises:
            NasError: No such checkpoint has the name.
        """
        return key

    def published_options(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
        """Return the family's options that a reference implementation's checkpoint tells; none by default.

        Args:
            state: The checkpoint's tensors by name.

        Raises:
            NasError: The checkpoint has another layout.
        """
        return {}

    @property
    def native(self) -> Subnet:
        """The subnet that is the network as it was trained, whose BatchNorm statistics are known: the largest.

        Where the resolution is elastic and the network was trained at another than the largest one, it is at that.
        """
        return self.space.largest()

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

    def parts_within(self, path: str) -> list[Part]:
        """Return the parts as those of a larger network that holds this family's at `path`."""
        return [replace(part, name=f"{path}.{part.name}") for part in self.parts]

    def assemble_within(self, path: str, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        """Make the static network of `subnet` from those modules of a larger network's that stand at `path`."""
        prefix = f"{path}."
        own = {name.removeprefix(prefix): m for name, m in modules.items() if name.startswith(prefix)}
        return self.assemble(own, subnet)

    def build(self, subnet: Subnet) -> nn.Module:
        """Build the ordinary static network of `subnet`, freshly initialised, on the current default device.

        Raises:
            SpaceError: The subnet belongs to another space.
        """
        self.space.validate(subnet)
        return self.assemble({p.name: p.build(subnet) for p in self.parts if p.is_active(subnet)}, subnet)
