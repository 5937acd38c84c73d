"""Static blocks of MobileNetV3 (Howard et al. 2019), as once-for-all builds them (Cai et al. 2020)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


def activation(name: str) -> nn.Module:
    """Return the activation layer called `name`: "relu", "hswish" or "none"."""
    return {"relu": lambda: nn.ReLU(inplace=True), "hswish": nn.Hardswish, "none": nn.Identity}[name]()


class ConvNormAct(nn.Sequential):
    """Convolution with "same" padding, BatchNorm (unless `norm` is False) and activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        act: str = "none",
        norm: bool = True,
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if norm:
            layers["norm"] = nn.BatchNorm2d(outputs)
        if act != "none":
            layers["act"] = activation(act)
        super().__init__(layers)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from all channels' means (Hu et al. 2018), with a hard sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return the scaled input, (batch, channels, height, width)."""
        return x_bchw * self.gate(self.expand(self.act(self.reduce(self.pool(x_bchw)))))


class MBConv(nn.Module):
    """Inverted residual: widen, filter each channel, gate, narrow; added to its input where shapes allow it.

    `expanded` None means that the input is filtered as it is; `squeezed` 0 means no gate.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        expanded: int | None,
        squeezed: int = 0,
        stride: int = 1,
        act: str = "relu",
        residual: bool = True,
    ) -> None:
        super().__init__()
        width = inputs if expanded is None else expanded
        self.expand = ConvNormAct(inputs, width, act=act) if expanded is not None else nn.Identity()
        self.depthwise = ConvNormAct(width, width, kernel, stride=stride, groups=width, act=act)
        self.squeeze = SqueezeExcite(width, squeezed) if squeezed else nn.Identity()
        self.project = ConvNormAct(width, outputs)
        self.residual = residual and stride == 1 and inputs == outputs

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        y_bchw = self.project(self.squeeze(self.depthwise(self.expand(x_bchw))))
        return x_bchw + y_bchw if self.residual else y_bchw
