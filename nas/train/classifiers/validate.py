"""Accuracy of a few subnets while training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.data.augment import normalize
from nas.data.dataset import Data, Split
from nas.elastic import Supernet
from nas.metrics.accuracy import evaluate_subnet, pictures
from nas.models import Preprocessing
from nas.space import Subnet
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
        data: Data, how: Preprocessing, recipe: ClassifierRecipe, device: torch.device, split: Split = "val"
    ) -> Validation:
        """Decode what evaluations need, once."""
        pixels = Pixels(torch.tensor(how.mean, device=device), torch.tensor(how.std, device=device))
        images, labels = pictures(data, split, how)
        calibration, _ = pictures(data, "train", how, recipe.calibration_images)
        return Validation(images.to(device), labels.to(device), calibration.to(device), pixels)


def evaluate(supernet: Supernet, validation: Validation, subnets: Mapping[str, Subnet]) -> dict[str, float]:
    """Return the top-1 (%) of `subnets` under "NAME_top1"."""
    tops = {}
    for name, subnet in subnets.items():
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
