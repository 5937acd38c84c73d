"""Static blocks of once-for-all networks (Cai et al. 2020), and the axes of a convolution with its norm."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from nas.elastic import Axis, Fixed, Kernel, Layout


def activation(name: str) -> nn.Module:
    """Return the activation layer called `name`: "relu", "relu6", "hswish" or "none"."""
    inplace = {"relu": nn.ReLU, "relu6": nn.ReLU6}
    return (
        inplace[name](inplace=True)
        if name in inplace
        else {"hswish": nn.Hardswish, "none": nn.Identity}[name]()
    )


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
        eps: float = 1e-5,
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if norm:
            layers["norm"] = nn.BatchNorm2d(outputs, eps)
        if act != "none":
            layers["act"] = activation(act)
        super().__init__(layers)


class ResidualConv(ConvNormAct):
    """The same, added to its input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels, height, width), as the input."""
        return input + super().forward(input)


def conv_axes(
    outputs: Axis, inputs: Axis, size: int = 1, path: str = "", kernel: Kernel | None = None
) -> dict[str, Layout]:
    """Return the axes of the tensors of a `ConvNormAct` at `path` whose full kernel has `size`, those that vary."""
    layouts = {f"{path}conv.weight": Layout((outputs, inputs, Fixed(size), Fixed(size)), kernel)}
    if not isinstance(outputs, Fixed):
        norm = ("weight", "bias", "running_mean", "running_var")
        layouts |= {f"{path}norm.{name}": Layout((outputs,)) for name in norm}
    return layouts


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
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        width = inputs if expanded is None else expanded
        self.expand = ConvNormAct(inputs, width, act=act, eps=eps) if expanded is not None else nn.Identity()
        self.depthwise = ConvNormAct(width, width, kernel, stride=stride, groups=width, act=act, eps=eps)
        self.squeeze = SqueezeExcite(width, squeezed) if squeezed else nn.Identity()
        self.project = ConvNormAct(width, outputs, eps=eps)
        self.residual = residual and stride == 1 and inputs == outputs

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        y_bchw = self.project(self.squeeze(self.depthwise(self.expand(x_bchw))))
        return x_bchw + y_bchw if self.residual else y_bchw


class Bottleneck(nn.Module):
    """Residual bottleneck (He et al. 2016): narrow, filter, widen, added to its input.

    With `downsample` the input is averaged over the stride, then projected (ResNet-D, He et al. 2019).
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, *, stride: int = 1, downsample: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(inputs, inner, act="relu")
        self.conv2 = ConvNormAct(inner, inner, 3, stride=stride, act="relu")
        self.conv3 = ConvNormAct(inner, outputs)
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.downsample = ConvNormAct(inputs, outputs) if downsample else nn.Identity()
        self.act = activation("relu")

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return (batch, outputs, height / stride, width / stride), rounded up."""
        y_bchw = self.conv3(self.conv2(self.conv1(x_bchw)))
        return self.act(y_bchw + self.downsample(self.pool(x_bchw)))
