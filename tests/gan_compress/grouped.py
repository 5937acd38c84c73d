"""The published form of the modulated convolution, which ours is compared with in tests and benchmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.stylegan2.networks import ModulatedConv


def grouped(layer: ModulatedConv, x: Tensor, style: Tensor) -> Tensor:
    """Compute the published form: a weight for every image, all images in one grouped convolution."""
    batch, inputs, height, width = x.shape
    weight = layer.scale * layer.weight * layer.modulation(style)[:, None, :, None, None]
    if layer.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    outputs, kernel = weight.shape[1], weight.shape[-1]
    if layer.blur is None:
        weight = weight.reshape(batch * outputs, inputs, kernel, kernel)
        y = F.conv2d(x.reshape(1, -1, height, width), weight, padding=kernel // 2, groups=batch)
        return y.reshape(batch, outputs, height, width)
    weight = weight.transpose(1, 2).reshape(batch * inputs, outputs, kernel, kernel)
    y = F.conv_transpose2d(x.reshape(1, -1, height, width), weight, stride=2, groups=batch)
    return layer.blur(y.reshape(batch, outputs, *y.shape[-2:]))
