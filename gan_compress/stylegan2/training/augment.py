"""Differentiable augmentation (Zhao et al. 2020): the same kind of change to real and generated images.

It keeps a discriminator from learning a small data set by heart. Images are (batch, 3, height, width), -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.errors import UsageError
from nas.seeds import Draws

Random = torch.Generator | Draws | None
"""Where numbers come from: with `Draws` the images are this process's rows of a batch."""


def _uniform(x: Tensor, random: Random, *shape: int) -> Tensor:
    if isinstance(random, Draws):
        return random.rand(*shape)
    return torch.rand(len(x), *shape, device=x.device, generator=random)


def _whole(x: Tensor, random: Random, low: int, high: int) -> Tensor:
    """Return a whole number from `low` to below `high` for each image, (batch, 1)."""
    if isinstance(random, Draws):
        return random.randint(low, high, 1)
    return torch.randint(low, high, (len(x), 1), device=x.device, generator=random)


def colour(x: Tensor, random: Random = None) -> Tensor:
    """Change brightness by up to 0.5, saturation by a factor up to 2, contrast by 0.5 to 1.5, image by image."""
    x = x + (_uniform(x, random, 1, 1, 1) - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (_uniform(x, random, 1, 1, 1) * 2) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_uniform(x, random, 1, 1, 1) + 0.5) + mean


def translation(x: Tensor, random: Random = None, ratio: float = 0.125) -> Tensor:
    """Shift each image by up to `ratio` of its size; what comes in is black's opposite, zero."""
    count, _, height, width = x.shape
    reach = (int(height * ratio + 0.5), int(width * ratio + 0.5))
    rows, columns = (
        torch.arange(size, device=x.device)[None] + _whole(x, random, -most, most + 1)
        for size, most in ((height, reach[0]), (width, reach[1]))
    )
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    rows, columns = (rows + 1).clamp(0, height + 1), (columns + 1).clamp(0, width + 1)
    index = torch.arange(count, device=x.device)[:, None, None]
    return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(x: Tensor, random: Random = None, ratio: float = 0.5) -> Tensor:
    """Set a square of `ratio` of each image's size to zero."""
    _, _, height, width = x.shape
    masks = []
    for size in (height, width):
        side = int(size * ratio + 0.5)
        centre = _whole(x, random, 0, size + 1)
        place = torch.arange(size, device=x.device)[None]
        masks.append((place >= centre - side // 2) & (place < centre - side // 2 + side))
    hole = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return x * ~hole


POLICIES: dict[str, Callable[[Tensor, Random], Tensor]] = {
    "color": colour,
    "translation": translation,
    "cutout": cutout,
}


def diff_augment(x: Tensor, policy: str, random: Random = None) -> Tensor:
    """Apply the augmentations named in `policy`, separated by commas, as published: "color,translation,cutout".

    Raises `UsageError` for a name that is none of them; an empty policy changes nothing.
    """
    for name in filter(None, (word.strip() for word in policy.split(","))):
        if name not in POLICIES:
            raise UsageError(f"there is no augmentation {name!r}; known are {', '.join(POLICIES)}")
        x = POLICIES[name](x, random)
    return x
