"""Labelled images for training, validation and the final test, by one fixed split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nas.data.sources import DataSource, ImageTable, find_source

Split = Literal["train", "val", "test"]
SMALL_PIXELS = 64
"""Images up to this edge are decoded once and kept in memory."""
_MEMORY_BYTES = 4 << 30
_SPLIT_SEED = 0
"""Fixed for good: a model trained anywhere must find the same validation images held out everywhere."""


@dataclass(frozen=True)
class Images:
    """Images of one size in memory.

    Attributes:
        images: uint8 (n, 3, height, width).
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        """Return the same images on `device`."""
        return Images(self.images.to(device), self.labels.to(device))


class Data:
    """A source with its three splits; pictures are decoded when a split is first asked for."""

    def __init__(self, source: DataSource) -> None:
        self.name = source.name
        self.classes = source.classes
        self._tables = _split(source)
        self._images: dict[str, Images] = {}
        width, height = source.train.open(0).size
        self.size = (height, width)
        """Height and width of the first image, in pixels."""

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def count(self, split: Split) -> int:
        """Return how many images the split has."""
        return len(self._tables[split])

    @property
    def in_memory(self) -> bool:
        """Whether images are small enough to be kept decoded in memory."""
        height, width = self.size
        return max(self.size) <= SMALL_PIXELS and 3 * height * width * len(self) <= _MEMORY_BYTES

    def table(self, split: Split) -> ImageTable:
        """Return the split as labels and pictures on demand."""
        return self._tables[split]

    def images(self, split: Split) -> Images:
        """Return the split decoded in memory; images of another size are resized to the first one's."""
        if split not in self._images:
            self._images[split] = decode_all(self._tables[split], self.size)
        return self._images[split]


def decode_all(table: ImageTable, size: tuple[int, int]) -> Images:
    """Decode a table to uint8 (n, 3, *size), resizing (bilinear) what has another size."""
    from PIL import Image

    height, width = size
    pixels = np.empty((len(table), height, width, 3), dtype=np.uint8)
    for index in range(len(table)):
        image = table.open(index)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels[index] = np.asarray(image)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return Images(images.contiguous(), torch.from_numpy(np.array(table.labels)))


def open_data(
    spec: str,
    *,
    root: str | None = None,
    download: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> Data:
    """Open `digits`, `torchvision:NAME`, an image folder or parquet files; see `find_source` for the errors."""
    return Data(
        find_source(
            spec,
            root=root,
            download=download,
            image_column=image_column,
            label_column=label_column,
            classes=classes,
        )
    )


def _split(source: DataSource) -> dict[str, ImageTable]:
    """Hold 10% of train out as val and, where the source has no test, 20% as test (CIFAR-10: 45,000/5,000)."""
    train = source.train
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(train))
    held_val = 0 if source.val is not None else max(1, round(0.1 * len(train)))
    held_test = 0 if source.test is not None else max(1, round(0.2 * len(train)))
    val = source.val or train.take(np.sort(order[:held_val]))
    test = source.test or train.take(np.sort(order[held_val : held_val + held_test]))
    return {"train": train.take(np.sort(order[held_val + held_test :])), "val": val, "test": test}
