"""Augmentation of whole batches in memory, determined by a generator that is handed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class AugmentationDraws:
    """What was drawn for each image of a batch: the crop's corner and whether to flip."""

    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray

    def part(self, start: int, stop: int) -> AugmentationDraws:
        """Return the draws of images `start` to `stop`."""
        return AugmentationDraws(self.top[start:stop], self.left[start:stop], self.flip[start:stop])


def draw(rng: np.random.Generator, count: int, padding: int, flip: bool) -> AugmentationDraws:
    """Draw crops within `padding` pixels around the image, and flips, for `count` images."""
    return AugmentationDraws(
        top=rng.integers(0, 2 * padding + 1, count),
        left=rng.integers(0, 2 * padding + 1, count),
        flip=rng.random(count) < 0.5 if flip else np.zeros(count, dtype=bool),
    )


def crop_and_flip(images: Tensor, draws: AugmentationDraws, padding: int) -> Tensor:
    """Cut each image (n, c, h, w) out of itself padded with zeros, mirrored where drawn; one gather for the batch."""
    count, _, height, width = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4)
    columns = torch.arange(width, device=device).expand(count, width)
    flip = torch.from_numpy(draws.flip).to(device)[:, None]
    columns = (
        torch.where(flip, width - 1 - columns, columns) + torch.from_numpy(draws.left).to(device)[:, None]
    )
    rows = torch.arange(height, device=device) + torch.from_numpy(draws.top).to(device)[:, None]
    batch = torch.arange(count, device=device)[:, None, None]
    # Indexing (n, h, w) positions of the channels-last view gives (n, h, w, c): channels_last for free.
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Turn uint8 images (n, c, h, w) into float32, channels_last: (x / 255 - mean) / std."""
    floats = images.to(torch.float32, memory_format=torch.channels_last)
    scale = (1 / (255 * std)).view(1, -1, 1, 1)
    return floats.mul_(scale).sub_((mean / std).view(1, -1, 1, 1))
