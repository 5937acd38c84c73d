"""How far a subnet's images are from the full generator's, in features.

By default the features are those of the discriminator that the full generator was trained with, frozen, compared as
LPIPS compares a classifier's (Zhang et al. 2018), but with equal weights; without one, pixels at several sizes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.stylegan2.discriminator import Discriminator

Features = Callable[[Tensor], Tensor]
"""Takes images (batch, 3, h, w) from -1 to 1 at the full resolution and returns (batch, n)."""


def feature_distance(
    by: Discriminator | Features | None, images: Tensor, wanted: Tensor, resolution: int
) -> Tensor:
    """Return the mean distance of `images` from `wanted`, both (batch, 3, size, size); no gradient reaches `wanted`.

    A callable is given images enlarged to `resolution`; a discriminator takes every size.
    """
    if isinstance(by, Discriminator):
        with torch.no_grad():
            goal = discriminator_features(by, wanted)
        pairs = zip(discriminator_features(by, images), goal, strict=True)
        return torch.stack([_layer_distance(a, b) for a, b in pairs]).mean()
    if by is None:
        return pyramid_distance(images, wanted)
    with torch.no_grad():
        goal_bn = by(_enlarged(wanted, resolution))
    return (by(_enlarged(images, resolution)) - goal_bn).square().mean()


def discriminator_features(discriminator: Discriminator, x_bchw: Tensor) -> list[Tensor]:
    """Return the feature maps of a discriminator, from the colour layer of the images' size to 4 × 4 pixels."""
    size = x_bchw.shape[-1]
    maps = [discriminator.from_rgb[str(size)](x_bchw)]
    while size > 4:
        maps.append(discriminator.blocks[str(size)](maps[-1]))
        size //= 2
    return maps


def shrunk(images: Tensor, size: int) -> Tensor:
    """Return images (batch, 3, h, w) at `size`, each pixel the mean of those it covers."""
    factor = images.shape[-1] // size
    return images if factor == 1 else F.avg_pool2d(images, factor)


def pyramid_distance(images: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference over the images' size, half of it, and so on to 4 pixels."""
    distances = [(images - wanted).abs().mean()]
    while images.shape[-1] > 4:
        images, wanted = F.avg_pool2d(images, 2), F.avg_pool2d(wanted, 2)
        distances.append((images - wanted).abs().mean())
    return torch.stack(distances).mean()


def _layer_distance(first: Tensor, second: Tensor) -> Tensor:
    return (_unit(first) - _unit(second)).square().sum(1).mean()


def _unit(maps: Tensor) -> Tensor:
    return maps * torch.rsqrt(maps.square().sum(1, keepdim=True) + 1e-8)


def _enlarged(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
