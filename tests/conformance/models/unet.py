"""A UNet: its up block reads a hidden state and a skip connection, both of elastic width."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn

from nas.elastic import Cat, Chosen, Elastic, Fixed, Part, Repeat
from nas.elastic import LengthChoices as Choices
from nas.space import Dimension, Subnet
from tests.conformance.models._small import SmallFamily, conv, norm

GROUP = 4
"""Channels of one norm group; the deep stage is cut at whole groups."""


def _wide(choices: Choices) -> int:
    return Chosen("wide")(choices)


def _groups(choices: Choices) -> int:
    return Chosen("groups")(choices)


class Network(nn.Module):
    """Down, down, up with the skip, and out."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.down, self.deep, self.up, self.out = (modules[name] for name in ("down", "deep", "up", "out"))

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        skip_bchw = self.down(x_bchw)
        hidden_bchw = nn.functional.interpolate(self.deep(skip_bchw), scale_factor=2.0)
        return self.out(self.up(torch.cat([hidden_bchw, skip_bchw], 1)))


class UNet(SmallFamily):
    """Elastic stage widths: BatchNorm over hidden ⊕ skip, GroupNorm over groups × channels."""

    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        wide, deep = Elastic("wide"), Repeat(Elastic("groups"), GROUP)
        both = Cat(deep, wide)
        parts = [
            Part("down", _build_down, conv(wide, Fixed(3), "conv.") | norm(wide, "norm.")),
            Part("deep", _build_deep, conv(deep, wide, "conv.") | norm(deep, "norm.", statistics=False)),
            Part("up", _build_up, norm(both, "norm.") | conv(wide, both, "conv.")),
            Part(
                "out",
                lambda c: nn.Conv2d(_wide(c), 3, 3, padding=1),
                {"weight": conv(Fixed(3), wide)["weight"]},
            ),
        ]
        super().__init__("small-unet", [Dimension("wide", (4, 6, 8)), Dimension("groups", (1, 2, 3))], parts)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        return Network(modules)


def _build_down(choices: Choices) -> nn.Module:
    wide = _wide(choices)
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, wide, 3, padding=1), norm=nn.BatchNorm2d(wide), act=nn.SiLU())
    )


def _build_deep(choices: Choices) -> nn.Module:
    groups = _groups(choices)
    deep = groups * GROUP
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(_wide(choices), deep, 3, stride=2, padding=1),
            norm=nn.GroupNorm(groups, deep),
            act=nn.SiLU(),
        )
    )


def _build_up(choices: Choices) -> nn.Module:
    both = _groups(choices) * GROUP + _wide(choices)
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(both), act=nn.SiLU(), conv=nn.Conv2d(both, _wide(choices), 3, padding=1)
        )
    )
