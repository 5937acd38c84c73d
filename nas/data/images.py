"""The real images of a training: square, of one size, in memory; which of them a step takes is a function of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from nas.data.dataset import Data, Split
from nas.errors import NasError, UsageError
from nas.seeds import Draws, epoch_order

_MEMORY_BYTES = 8 << 30


@dataclass(frozen=True)
class RealImages:
    """Images in memory.

    Attributes:
        pixels: uint8 (n, 3, resolution, resolution).
        labels: int64 (n,).
    """

    pixels: Tensor
    labels: Tensor

    def batch(self, seed: int, step: int, draws: Draws, *, flip: bool) -> Tensor:
        """Return the own rows of the images (-1 to 1) of `step`; an epoch goes through all in a new order."""
        index = self.indices(seed, step, draws.batch_size)[draws.shard]
        return self.at(index.to(self.pixels.device), draws, flip=flip)

    def of_classes(self, labels: Tensor, draws: Draws, *, flip: bool) -> Tensor:
        """Return one image (-1 to 1), drawn at random, of each class in `labels`, the own rows of a batch."""
        order, first, count = self._by_class
        place = draws.rand(dtype=torch.float64)
        index = order[first[labels] + (place * count[labels]).long()]
        return self.at(index, draws, flip=flip)

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """The images ordered by class, where each class begins, and how many it has."""
        count = self.labels.bincount()
        return self.labels.argsort(stable=True), count.cumsum(0) - count, count

    def at(self, index: Tensor, draws: Draws, *, flip: bool) -> Tensor:
        """Return the images (-1 to 1) of `index`, the own rows of a batch, half of them mirrored if `flip`."""
        images = self.pixels[index].float() / 127.5 - 1
        if flip:
            mirrored = draws.rand(1, 1, 1) < 0.5
            images = torch.where(mirrored.to(images.device), images.flip(3), images)
        return images

    def indices(self, seed: int, step: int, size: int) -> Tensor:
        """Return which images `step` takes; an epoch goes through all in a new order."""
        count, places = len(self.labels), np.arange(step * size, (step + 1) * size)
        epochs = np.unique(places // count)
        parts = [_order(seed, int(epoch), count) for epoch in epochs]
        return torch.from_numpy(np.concatenate(parts)[places - int(epochs[0]) * count])

    def to(self, device: torch.device) -> RealImages:
        """Return the same images on `device`."""
        return RealImages(self.pixels.to(device), self.labels.to(device))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of an epoch, which all of its steps ask for."""
    return epoch_order(seed, epoch, count)


def real_images(data: Data, resolution: int, split: Split = "train", limit: int | None = None) -> RealImages:
    """Decode a split, or `limit` images spread over it, cut each to its central square and resize it (bicubic)."""
    from PIL import Image, ImageOps

    table = data.table(split)
    if limit is not None and limit < len(table):
        table = table.take(np.linspace(0, len(table) - 1, limit).astype(np.int64))
    if (needed := len(table) * 3 * resolution**2) > _MEMORY_BYTES:
        raise UsageError(
            f"{len(table)} images at {resolution} pixels need {needed / 2**30:.0f} GiB of memory, at most "
            f"{_MEMORY_BYTES >> 30} are taken; lower resolution or give fewer images"
        )
    if len(table) < 2:
        raise NasError(f"{data.name} has {len(table)} images to train on, at least 2 are needed; give more")
    pixels = np.empty((len(table), resolution, resolution, 3), dtype=np.uint8)
    for place in range(len(table)):
        image = table.open(place)
        if image.size != (resolution, resolution):
            image = ImageOps.fit(image, (resolution, resolution), Image.Resampling.BICUBIC)
        pixels[place] = np.asarray(image.convert("RGB"))
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return RealImages(tensor, torch.from_numpy(np.array(table.labels, dtype=np.int64)))
