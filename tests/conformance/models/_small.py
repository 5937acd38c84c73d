"""What the small families share: no options, a fixed input shape, parts one after another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from nas.elastic import Axis, Family, Fixed, Layout, Part
from nas.space import Dimension, SearchSpace, Subnet


class SmallFamily(Family):
    """A family given by its dimensions, its parts and the shape of one input."""

    input_shape: tuple[int, ...]

    def __init__(self, name: str, dimensions: Iterable[Dimension], parts: Sequence[Part]) -> None:
        self.name = name
        self.options = {}
        self.space = SearchSpace(name, dimensions)
        self._parts = tuple(parts)

    @property
    def parts(self) -> Sequence[Part]:
        return self._parts

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        return nn.Sequential(OrderedDict(modules))

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch_size, *self.input_shape, generator=generator)


def linear(outputs: Axis, inputs: Axis, prefix: str = "") -> dict[str, Layout]:
    """The layouts of a Linear with a bias."""
    return {f"{prefix}weight": Layout((outputs, inputs)), f"{prefix}bias": Layout((outputs,))}


def conv(outputs: Axis, inputs: Axis, prefix: str = "", kernel: int = 3) -> dict[str, Layout]:
    """The layouts of a Conv2d with a bias."""
    weight = Layout((outputs, inputs, Fixed(kernel), Fixed(kernel)))
    return {f"{prefix}weight": weight, f"{prefix}bias": Layout((outputs,))}


def norm(channels: Axis, prefix: str = "", statistics: bool = True) -> dict[str, Layout]:
    """The layouts of a normalisation, BatchNorm with its statistics."""
    names = ("weight", "bias", "running_mean", "running_var") if statistics else ("weight", "bias")
    return {f"{prefix}{name}": Layout((channels,)) for name in names}
