"""Convolutional networks: a block replaced by its shortcut; widths that are products; a flattened feature map."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn

from nas.elastic import Chosen, Elastic, Fixed, Kernel, Layout, Part, Repeat, Scaled
from nas.elastic import LengthChoices as Choices
from nas.space import Dimension, Subnet
from tests.conformance.models._small import SmallFamily, conv, linear, norm

MATRICES = {(7, 5): "matrix_7to5", (5, 3): "matrix_5to3"}


class ShortcutBlock(nn.Module):
    """A residual block that changes the width; without `inner` only its shortcut is left."""

    def __init__(self, inputs: int, outputs: int, inner: int | None) -> None:
        super().__init__()
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        if inner is not None:
            self.conv1 = nn.Conv2d(inputs, inner, 3, padding=1)
            self.norm1 = nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1)
        self.kept = inner is not None

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        y_bchw = self.conv_shortcut(x_bchw)
        return y_bchw + self.conv2(torch.relu(self.norm1(self.conv1(x_bchw)))) if self.kept else y_bchw


class Shortcut(SmallFamily):
    """Depth that leaves blocks out by their shortcuts; the shortcut's weights stay, the inner width is conditional."""

    input_shape = (3, 6, 6)

    def __init__(self) -> None:
        dimensions, parts = [], []
        for name, inputs, outputs in (("block1", 3, 6), ("block2", 6, 8), ("block3", 8, 8)):
            dimensions.append(Dimension(f"{name}.kept", (False, True)))
            dimensions.append(Dimension(f"{name}.inner", (4, 8), active_if=(f"{name}.kept", (True,))))
            parts.append(_shortcut_part(name, inputs, outputs))
        super().__init__("small-shortcut", dimensions, parts)


def _shortcut_part(name: str, inputs: int, outputs: int) -> Part:
    inner = Elastic(f"{name}.inner")
    layouts = conv(inner, Fixed(inputs), "conv1.") | norm(inner, "norm1.")
    layouts["conv2.weight"] = conv(Fixed(outputs), inner)["weight"]

    def build(choices: Choices) -> nn.Module:
        return ShortcutBlock(
            inputs, outputs, int(choices[f"{name}.inner"]) if choices[f"{name}.kept"] else None
        )

    return Part(name, build, layouts, reads=(f"{name}.kept",))


class WideBlock(nn.Module):
    """Widen, filter each channel, narrow, with a residual."""

    def __init__(self, width: int, wide: int, kernel: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(width, wide, 1)
        self.filter = nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False)
        self.norm = nn.BatchNorm2d(wide)
        self.narrow = nn.Conv2d(wide, width, 1)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return x_bchw + self.narrow(torch.relu(self.norm(self.filter(self.widen(x_bchw)))))


class Widths(SmallFamily):
    """Elastic stage width × expansion, elastic kernels with matrices, depth, a flattened map into a Linear."""

    input_shape = (3, 6, 6)

    def __init__(self) -> None:
        width = Elastic("width")
        dimensions = [Dimension("width", (4, 6, 8)), Dimension("depth", (1, 2))]
        for name, active_if in (("block1", None), ("block2", ("depth", (2,)))):
            dimensions.append(Dimension(f"{name}.expand", (1.5, 2.0, 3.0), active_if))
            dimensions.append(Dimension(f"{name}.kernel", (3, 5, 7), active_if))
        head = linear(Fixed(5), Repeat(width, 6 * 6))["weight"]
        parts = [
            Part("stem", lambda c: nn.Conv2d(3, _width(c), 3, padding=1), conv(width, Fixed(3))),
            _wide_part("block1"),
            _wide_part("block2", ("depth", (2,))),
            Part("head", lambda c: nn.Linear(_width(c) * 6 * 6, 5), {"weight": head}),
        ]
        super().__init__("small-widths", dimensions, parts)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        layers = OrderedDict(modules)
        head = layers.pop("head")
        return nn.Sequential(layers | OrderedDict(flatten=nn.Flatten(), head=head))


def _width(choices: Choices) -> int:
    return Chosen("width")(choices)


def _wide_part(name: str, active_if: tuple[str, tuple[int, ...]] | None = None) -> Part:
    product, kernel = Scaled(Chosen("width"), f"{name}.expand", divisor=2), Chosen(f"{name}.kernel")
    width, wide = Elastic("width"), Elastic(f"{name}.wide", product)
    layouts = (
        conv(wide, width, "widen.", kernel=1) | conv(width, wide, "narrow.", kernel=1) | norm(wide, "norm.")
    )
    layouts["filter.weight"] = Layout((wide, Fixed(1), Fixed(7), Fixed(7)), Kernel(kernel, MATRICES))

    def build(choices: Choices) -> nn.Module:
        return WideBlock(_width(choices), product(choices), kernel(choices))

    matrices = {f"filter.{matrix}": smaller**2 for (_, smaller), matrix in MATRICES.items()}
    return Part(name, build, layouts, active_if=active_if, matrices=matrices)
