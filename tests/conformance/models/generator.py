"""A style-based generator: modulated convolutions whose style affines are sliced before they are computed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from nas.elastic import Axis, Elastic, Fixed, Layout, Part
from nas.elastic import LengthChoices as Choices
from nas.space import Dimension, Subnet
from tests.conformance.models._small import SmallFamily, conv, linear

STYLE = 8


class Constant(nn.Module):
    """The learned image that every generated image starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value_1chw = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, style_bs: torch.Tensor) -> torch.Tensor:
        return self.value_1chw.expand(len(style_bs), -1, -1, -1)


class ModulatedConv(nn.Module):
    """Scale the input by the style, convolve with shared weights, demodulate (StyleGAN2, Karras et al. 2020)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.affine = nn.Linear(STYLE, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) / 3)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x_bchw: torch.Tensor, style_bs: torch.Tensor) -> torch.Tensor:
        scale_bc = self.affine(style_bs)
        y_bchw = nn.functional.conv2d(x_bchw * scale_bc[:, :, None, None], self.weight, padding=1)
        energy_bo = scale_bc.square() @ self.weight.square().sum((2, 3)).t()
        y_bchw = y_bchw * (energy_bo + 1e-6).rsqrt()[:, :, None, None] + self.bias[:, None, None]
        return nn.functional.leaky_relu(y_bchw, 0.2)


class Network(nn.Module):
    """A constant, two modulated convolutions with an upsampling between them, and the image."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.constant, self.first, self.second = modules["constant"], modules["first"], modules["second"]
        self.to_rgb = modules["to_rgb"]

    def forward(self, style_bs: torch.Tensor) -> torch.Tensor:
        x_bchw = self.first(self.constant(style_bs), style_bs)
        x_bchw = nn.functional.interpolate(x_bchw, scale_factor=2.0)
        return self.to_rgb(self.second(x_bchw, style_bs))


class Generator(SmallFamily):
    """Elastic channels of every layer; weight, style affine, bias and the next layer's input share the axis."""

    input_shape = (STYLE,)

    def __init__(self) -> None:
        names = ("channels0", "channels1", "channels2")
        axes = [Elastic(name) for name in names]
        parts = [
            Part(
                "constant",
                lambda c: Constant(int(c["channels0"])),
                {"value_1chw": Layout((Fixed(1), axes[0], Fixed(4), Fixed(4)))},
            ),
            _modulated("first", names[0], names[1]),
            _modulated("second", names[1], names[2]),
            Part(
                "to_rgb",
                lambda c: nn.Conv2d(int(c["channels2"]), 3, 1),
                {"weight": conv(Fixed(3), axes[2], kernel=1)["weight"]},
            ),
        ]
        super().__init__("small-generator", [Dimension(name, (4, 6, 8, 10)) for name in names], parts)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        return Network(modules)


def _modulated(part: str, inputs: str, outputs: str) -> Part:
    ins: Axis = Elastic(inputs)
    layouts = conv(Elastic(outputs), ins) | linear(ins, Fixed(STYLE), "affine.")

    def build(choices: Choices) -> nn.Module:
        return ModulatedConv(int(choices[inputs]), int(choices[outputs]))

    return Part(part, build, layouts)
