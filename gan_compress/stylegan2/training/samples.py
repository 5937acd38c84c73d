"""Pictures of a generator's state: the same latents every time, a row a class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.stylegan2.family import StyleGAN2
from nas.elastic import Supernet
from nas.space import Subnet

_SEED = 12345
_MOST_ROWS = 16


def fixed_latents(family: StyleGAN2, columns: int = 8) -> tuple[Tensor, int]:
    """Return latents (rows × columns, style + classes) and the number of rows: classes, or 8 without classes."""
    rows = min(family.classes, _MOST_ROWS) or 8
    z_bs = torch.randn(rows * columns, family.style, generator=torch.Generator().manual_seed(_SEED))
    if not family.classes:
        return z_bs, rows
    labels = torch.arange(rows).repeat_interleave(columns)
    return torch.cat([z_bs, F.one_hot(labels, family.classes).float()], 1), rows


@torch.no_grad()
def sample_grid(supernet: Supernet, subnets: list[Subnet], columns: int = 8) -> Tensor:
    """Return one picture, uint8 (height, width, 3): a grid for each subnet, all of the same latents, side by side."""
    family = supernet.family
    assert isinstance(family, StyleGAN2)
    latents, rows = fixed_latents(family, columns)
    latents = latents.to(next(supernet.parameters()).device)
    grids = []
    for subnet in subnets:
        images = torch.cat([supernet(part, subnet) for part in latents.split(64)]).float().cpu()
        images = images.repeat_interleave(family.resolution // images.shape[-1], 2)
        images = images.repeat_interleave(family.resolution // images.shape[-1], 3)
        if grids:
            grids.append(torch.ones(3, rows * family.resolution, family.resolution // 2))
        grids.append(_grid(images, rows))
    picture = ((torch.cat(grids, 2).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return picture.permute(1, 2, 0)


def _grid(images_bchw: Tensor, rows: int) -> Tensor:
    count, channels, height, width = images_bchw.shape
    table = images_bchw.reshape(rows, count // rows, channels, height, width)
    return table.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, count // rows * width)
