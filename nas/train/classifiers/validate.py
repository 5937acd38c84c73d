"""Accuracy of the largest, the smallest and one random subnet while training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nas.data.augment import normalize
from nas.data.dataset import Data, Split
from nas.elastic import Supernet
from nas.metrics.accuracy import evaluate_subnet, pictures
from nas.train.classifiers.batches import Stats
from nas.train.classifiers.recipe import ClassifierRecipe


@dataclass(frozen=True)
class Pixels:
    """How uint8 images become a network's input on one device."""

    mean: Tensor
    std: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return normalize(images.to(self.mean.device), self.mean, self.std)


@dataclass(frozen=True)
class Validation:
    """Validation images with labels, real training images for BatchNorm, and the normalisation; all uint8."""

    images: Tensor
    labels: Tensor
    calibration: Tensor
    normalizer: Pixels

    @staticmethod
    def of(
        data: Data, stats: Stats, recipe: ClassifierRecipe, device: torch.device, split: Split = "val"
    ) -> Validation:
        """Decode what evaluations need, once."""
        pixels = Pixels(torch.tensor(stats.mean, device=device), torch.tensor(stats.std, device=device))
        images, labels = pictures(data, split, stats.size)
        calibration, _ = pictures(data, "train", stats.size, recipe.calibration_images)
        return Validation(images.to(device), labels.to(device), calibration.to(device), pixels)


def evaluate(supernet: Supernet, validation: Validation, seed: int = 0) -> dict[str, float]:
    """Return the top-1 (%) of the largest, the smallest and one fixed random subnet."""
    space = supernet.space
    random = space.sample(np.random.default_rng(seed))
    tops = {}
    for name, subnet in (("largest", space.largest()), ("smallest", space.smallest()), ("random", random)):
        top1 = evaluate_subnet(
            supernet,
            subnet,
            validation.images,
            validation.labels,
            validation.normalizer,
            validation.calibration,
        )
        tops[f"{name}_top1"] = round(top1, 3)
    return tops
