"""How near pictures are to others of the same size, pixel by pixel."""

from __future__ import annotations

import math

from torch import Tensor


def psnr(made: Tensor, truth: Tensor, *, peak: float, most: float = math.inf) -> Tensor:
    """Return the peak signal-to-noise ratio (n,) in dB of pictures (n, ...) by themselves, at most `most`.

    Over all pixels and colours of each; `peak` is the size of the range of values: 255 for bytes, 2 for -1 to 1.
    """
    error = ((made - truth) / peak).square().flatten(1).mean(1)
    return -10 * error.clamp_min(10 ** (-most / 10)).log10()
