"""Pictures too large for memory, decoded by worker processes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.data.sources import ImageTable
from nas.seeds import seed_globals


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures as uint8 tensors; an item's augmentation is a function of (seed, step, place in the batch)."""

    def __init__(self, table: ImageTable, transform: Any, seed: int | None) -> None:
        self.table = table
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, draw = key
        if self.seed is not None:
            seed_globals(self.seed, draw)
        picture = self.transform(self.table.open(index))
        pixels = np.array(picture, dtype=np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), int(self.table.labels[index])


def centred(table: ImageTable, size: tuple[int, int], limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Decode pictures for evaluation: shorter edge to 8/7 of the crop, centre crop; uint8 (n, 3, *size) and labels."""
    from torchvision import transforms

    resize = transforms.Resize(round(max(size) * 8 / 7), transforms.InterpolationMode.BICUBIC)
    pictures = Pictures(table, transforms.Compose([resize, transforms.CenterCrop(size)]), None)
    chosen = [(index, 0) for index in range(len(table) if limit is None else min(limit, len(table)))]
    loader = DataLoader(
        pictures,
        sampler=chosen,  # pyright: ignore[reportArgumentType] (keys are pairs, not ints)
        batch_size=64,
        num_workers=min(8, os.cpu_count() or 1) if len(chosen) > 256 else 0,
    )
    parts = list(loader)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
