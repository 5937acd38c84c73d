"""Discriminators of StyleGAN2 (Karras et al. 2020) with the conditions of Anycost GAN (Lin et al. 2021)."""

from __future__ import annotations

from math import log2, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_compress.stylegan2.networks import SQRT2, EqualLinear, blur_kernel

GROUP = 4
"""How many neighbours in a batch are compared with each other."""


def group_size(batch: int, most: int = GROUP) -> int:
    """Return the size of the groups that a batch falls into: its largest divisor up to `most`."""
    return next(size for size in range(min(most, batch), 0, -1) if batch % size == 0)


class EqualConv(nn.Module):
    """Convolution with equalised learning rate, optionally low-pass filtered and halved, biased and activated."""

    kernel: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.scale, self.inputs, self.down = 1 / sqrt(inputs * kernel**2), inputs, down
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, x_bihw: Tensor) -> Tensor:
        """Return (batch, outputs, height, width), halved with `down`."""
        padding = self.weight.shape[-1] // 2
        if self.down:
            weight = self.kernel.expand(self.inputs, 1, 4, 4)
            x_bihw = F.conv2d(x_bihw, weight, padding=padding + 1, groups=self.inputs)
            padding = 0
        stride = 2 if self.down else 1
        y = F.conv2d(x_bihw, self.weight * self.scale, stride=stride, padding=padding)
        if self.bias is None:
            return y
        return F.leaky_relu(y + self.bias[:, None, None], 0.2) * SQRT2


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(inputs, inputs, 3)
        self.conv2 = EqualConv(inputs, outputs, 3, down=True)
        self.skip = EqualConv(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (batch, outputs, height / 2, width / 2)."""
        return (self.conv2(self.conv1(x_bchw)) + self.skip(x_bchw)) / SQRT2


class Discriminator(nn.Module):
    """Scores images of any power-of-two size up to `resolution`.

    Smaller images enter at the block of their size through a colour layer of their own, so that one discriminator
    judges every output resolution. `classes` adds a projection on the class (Miyato & Koyama 2018); `conditions` are
    numbers that describe the generator that made the image (the share of channels of every layer), so that subnets
    are not judged by what only the full network can do.
    """

    def __init__(
        self,
        resolution: int,
        channels: dict[int, int],
        *,
        classes: int = 0,
        conditions: int = 0,
        group: int = GROUP,
    ) -> None:
        super().__init__()
        sizes = [2**power for power in range(int(log2(resolution)), 2, -1)]
        self.from_rgb = nn.ModuleDict({str(size): EqualConv(3, channels[size], 1) for size in (*sizes, 4)})
        self.blocks = nn.ModuleDict(
            {str(size): ResidualBlock(channels[size], channels[size // 2]) for size in sizes}
        )
        self.group = group
        width = channels[4]
        self.last = EqualConv(width + 1, width, 3)
        self.hidden = EqualLinear(width * 16, width, activate=True)
        self.score = EqualLinear(width, 1)
        self.project = EqualLinear(classes, width) if classes else None
        self.describe = EqualLinear(conditions, width) if conditions else None

    def forward(
        self, x_bchw: Tensor, shares_bc: Tensor | None = None, made_by: Tensor | None = None
    ) -> Tensor:
        """Return scores (batch,); `shares_bc` are class shares, `made_by` (batch, conditions) or (conditions,)."""
        size = x_bchw.shape[-1]
        x = self.from_rgb[str(size)](x_bchw)
        while size > 4:
            x = self.blocks[str(size)](x)
            size //= 2
        hidden_bw = self.hidden(self.last(self._with_deviation(x)).flatten(1))
        score_b = self.score(hidden_bw)[:, 0]
        scale = 1 / sqrt(hidden_bw.shape[1])
        # The linear layers' scale is for inputs of unit variance: of a class's shares only one is not zero.
        scaled = None if shares_bc is None else shares_bc * sqrt(shares_bc.shape[1])
        for layer, value in ((self.project, scaled), (self.describe, made_by)):
            if layer is not None and value is not None:
                score_b = score_b + (layer(value) * hidden_bw).sum(1) * scale
        return score_b

    def _with_deviation(self, x_bchw: Tensor) -> Tensor:
        """Append the deviation in groups of neighbours, so that sameness can be seen (Karras et al. 2018)."""
        batch, channels, height, width = x_bchw.shape
        group = group_size(batch, self.group)
        grouped = x_bchw.reshape(batch // group, group, channels, height, width)
        deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        plane = deviation.repeat_interleave(group)[:, None, None, None].expand(batch, 1, height, width)
        return torch.cat([x_bchw, plane], 1)
