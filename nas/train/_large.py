"""Batches of images too large for memory: decoded and augmented by worker processes with timm's transforms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.train._plan import BatchPlan
from nas.train.data import Data
from nas.train.recipe import ClassifierRecipe
from nas.train.seeds import seed_globals
from nas.train.sources import ImageTable


class _Pictures(Dataset[tuple[Tensor, int]]):
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


class _Schedule:
    """A batch sampler without end that starts at any step."""

    def __init__(self, plan: BatchPlan, start: int) -> None:
        self.plan = plan
        self.start = start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step, offset = self.start, self.plan.share[0]
        while True:
            first = step * self.plan.batch_size + offset
            yield [(int(index), first + place) for place, index in enumerate(self.plan.indices(step))]
            step += 1


def large_batches(
    recipe: ClassifierRecipe,
    data: Data,
    plan: BatchPlan,
    start: int,
    size: tuple[int, int],
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield uint8 images (n, 3, *size) and labels of this rank's part of each step from `start` on."""
    from timm.data.transforms import RandomResizedCropAndInterpolation
    from torchvision import transforms

    steps: list[Any] = [RandomResizedCropAndInterpolation(size, scale=(0.25, 1.0), interpolation="bicubic")]
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip())
    pictures = _Pictures(data.table("train"), transforms.Compose(steps), plan.seed)
    loader = DataLoader(
        pictures,
        batch_sampler=_Schedule(plan, start),  # pyright: ignore[reportArgumentType] (keys are pairs, not ints)
        num_workers=min(8, os.cpu_count() or 1),
        pin_memory=device.type == "cuda",
        persistent_workers=False,
    )
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def centred(table: ImageTable, size: tuple[int, int], limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Decode pictures for evaluation: shorter edge to 8/7 of the crop, centre crop; uint8 (n, 3, *size) and labels."""
    from torchvision import transforms

    resize = transforms.Resize(round(max(size) * 8 / 7), transforms.InterpolationMode.BICUBIC)
    pictures = _Pictures(table, transforms.Compose([resize, transforms.CenterCrop(size)]), None)
    chosen = [(index, 0) for index in range(len(table) if limit is None else min(limit, len(table)))]
    loader = DataLoader(
        pictures,
        sampler=chosen,  # pyright: ignore[reportArgumentType] (keys are pairs, not ints)
        batch_size=64,
        num_workers=min(8, os.cpu_count() or 1) if len(chosen) > 256 else 0,
    )
    parts = list(loader)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
