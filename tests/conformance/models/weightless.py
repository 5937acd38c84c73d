"""Dimensions that touch no weight: the image's resolution, the number of steps, the bits of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from nas.elastic import LengthChoices as Choices
from nas.elastic import Part
from nas.space import Dimension, Subnet
from tests.conformance.models._small import SmallFamily

CHANNELS = 4


class RoundedConv(nn.Module):
    """A convolution with weights rounded to `bits`; the gradient passes the rounding straight."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = float(2 ** (bits - 1) - 1)
        self.weight = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 3, 3) / 6)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        rounded = (self.weight * self.levels).round() / self.levels
        return nn.functional.conv2d(x_bchw, self.weight + (rounded - self.weight).detach(), padding=1)


class Network(nn.Module):
    """One block that is applied several times: a layer map that repeats a block needs nothing more."""

    def __init__(self, block: nn.Module, steps: int) -> None:
        super().__init__()
        self.block, self.steps = block, steps

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        for _ in range(self.steps):
            x_bchw = x_bchw - torch.tanh(self.block(x_bchw)) / self.steps
        return x_bchw


class Weightless(SmallFamily):
    """All subnets share every weight whole; they differ in what is computed with them."""

    input_dimensions = ("resolution", "steps")

    def __init__(self) -> None:
        dimensions = [
            Dimension("resolution", (6, 8)),
            Dimension("steps", (1, 2, 4)),
            Dimension("bits", (3, 8)),
        ]
        super().__init__("small-weightless", dimensions, [Part("block", _build, reads=("bits",))])

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        size = int(subnet["resolution"])
        return torch.randn(batch_size, CHANNELS, size, size, generator=torch.Generator().manual_seed(0))

    def prepare(self, x: torch.Tensor, subnet: Subnet) -> torch.Tensor:
        size = int(subnet["resolution"])
        return x if x.shape[-1] == size else nn.functional.adaptive_avg_pool2d(x, size)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        return Network(modules["block"], int(subnet["steps"]))


def _build(choices: Choices) -> nn.Module:
    return RoundedConv(int(choices["bits"]))
