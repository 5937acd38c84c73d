"""Tasks made from any pictures: what a generator is given, of which it must make the true picture.

Every function takes pictures (batch, 3, height, width), -1 to 1, and gives inputs of the same shape and range.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.errors import UsageError
from nas.metrics import similarity

SIGMA = 1.5
"""The blur's standard deviation, in pixels."""
_LUMA = (0.299, 0.587, 0.114)


def blur(pictures: Tensor) -> Tensor:
    """Return pictures out of focus: a Gaussian of `SIGMA` pixels, the border mirrored. The task is de-blurring."""
    reach = ceil(3 * SIGMA)
    offsets = torch.arange(-reach, reach + 1, device=pictures.device)
    line = torch.exp(-offsets.square() / (2 * SIGMA**2))
    line = (line / line.sum()).to(pictures.dtype)
    channels = pictures.shape[1]
    x = F.pad(pictures, (reach,) * 4, mode="reflect")
    x = F.conv2d(x, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def grey(pictures: Tensor) -> Tensor:
    """Return pictures without colour, three equal channels (ITU-R BT.601). The task is to colour them."""
    weights = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True).expand_as(pictures).contiguous()


def small(pictures: Tensor) -> Tensor:
    """Return pictures with a quarter of the pixels a side, enlarged again. The task is super-resolution, ×4."""
    height, width = pictures.shape[-2:]
    shrunk = F.interpolate(
        pictures, size=(max(1, height // 4), max(1, width // 4)), mode="bilinear", antialias=True,
        align_corners=False,
    )  # fmt: skip
    return F.interpolate(
        shrunk, size=(height, width), mode="bicubic", antialias=False, align_corners=False
    ).clamp(-1, 1)


def same(pictures: Tensor) -> Tensor:
    """Return the pictures themselves: for a generator of any other task, whose own pictures are then the true ones."""
    return pictures


SAME = "same"
PAIRS: dict[str, Callable[[Tensor], Tensor]] = {"blur": blur, "grey": grey, "small": small, SAME: same}


def get_pairs(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function of `name`; raises `UsageError` for an unknown one."""
    if name not in PAIRS:
        raise UsageError(f"there are no pairs {name!r}; choose from {', '.join(PAIRS)}")
    return PAIRS[name]


# --- pictures ---------------------------------------------------------------------------------------------------------


def to_bytes(pictures: Tensor) -> Tensor:
    """Return pictures, -1 to 1, as uint8."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio (batch,) in dB of pictures (batch, c, h, w), -1 to 1, clipped first.

    Of each picture by itself, over all its pixels and colours; 60 dB, what rounding to 8 bits costs, is the most.
    """
    return similarity.psnr(made.clamp(-1, 1), truth, peak=2, most=60)
