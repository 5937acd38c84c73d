"""Batches of images too large for memory: decoded and augmented by worker processes with timm's transforms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nas.data.dataset import Data
from nas.data.pictures import Pictures
from nas.models import Preprocessing
from nas.train.classifiers.plan import BatchPlan
from nas.train.classifiers.recipe import ClassifierRecipe


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
    how: Preprocessing,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield uint8 images (n, 3, *how.size) and labels of this rank's part of each step from `start` on."""
    from timm.data.transforms import RandomResizedCropAndInterpolation
    from torchvision import transforms

    steps: list[Any] = [
        RandomResizedCropAndInterpolation(
            how.size, scale=(recipe.crop_scale, 1.0), interpolation=how.interpolation
        )
    ]
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip())
    pictures = Pictures(data.table("train"), transforms.Compose(steps), plan.seed)
    loader = DataLoader(
        pictures,
        batch_sampler=_Schedule(plan, start),  # pyright: ignore[reportArgumentType] (keys are pairs, not ints)
        num_workers=min(8, os.cpu_count() or 1),
        pin_memory=device.type == "cuda",
        persistent_workers=False,
    )
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
