"""The batch of a step: which images, augmented how, normalised; a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nas.data.augment import crop_and_flip, draw, normalize
from nas.data.dataset import Data, Images
from nas.models import Preprocessing
from nas.seeds import augment_rng, seed_globals
from nas.train.classifiers.large import large_batches
from nas.train.classifiers.plan import BatchPlan
from nas.train.classifiers.recipe import ClassifierRecipe

Batch = tuple[Tensor, Tensor]
"""Normalised float images (n, 3, h, w), channels_last, and targets: int64 (n,) or probabilities (n, classes)."""


def batches(
    recipe: ClassifierRecipe,
    data: Data,
    plan: BatchPlan,
    device: torch.device,
    start: int,
    how: Preprocessing,
) -> Iterator[Batch]:
    """Yield the batches of the steps from `start` on, without end."""
    finish = _finisher(recipe, len(data.classes), device)
    if not data.in_memory:
        loader = large_batches(recipe, data, plan, start, how, device)
    else:
        loader = _memory_batches(recipe, data.images("train").to(device), plan, start)
    mean, std = (torch.tensor(value, device=device) for value in (how.mean, how.std))
    for step, (images, labels) in enumerate(loader, start):
        seed_globals(recipe.seed, step, plan.rank)
        yield finish(normalize(images, mean, std), labels)


def _memory_batches(
    recipe: ClassifierRecipe, images: Images, plan: BatchPlan, step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    padding = recipe.crop_padding
    while True:
        index = torch.from_numpy(plan.indices(step)).to(images.labels.device)
        chosen, labels = images.images[index], images.labels[index]
        if padding or recipe.flip:
            draws = draw(augment_rng(plan.seed, step), plan.batch_size, padding, recipe.flip)
            chosen = crop_and_flip(chosen, draws.part(*plan.share), padding)
        yield chosen, labels
        step += 1


def _finisher(
    recipe: ClassifierRecipe, classes: int, device: torch.device
) -> Callable[[Tensor, Tensor], Batch]:
    """Return timm's erasing and mixing of a normalised batch, as the recipe asks for them."""
    from timm.data.mixup import Mixup
    from timm.data.random_erasing import RandomErasing

    erase = RandomErasing(recipe.erase, mode="pixel", device=str(device)) if recipe.erase else None
    mix = None
    if recipe.mixup or recipe.cutmix:
        mix = Mixup(
            recipe.mixup,
            recipe.cutmix,
            label_smoothing=recipe.label_smoothing,
            num_classes=classes,
        )

    def finish(images: Tensor, labels: Tensor) -> Batch:
        if erase is not None:
            images = erase(images)
        return (images, labels) if mix is None else mix(images, labels)

    return finish


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def measured(data: Data) -> Preprocessing:
    """Return how images are prepared: with their own mean and deviation where they are in memory, ImageNet's else."""
    if not data.in_memory:
        return Preprocessing(*IMAGENET, data.size, "bicubic", 0.875)
    pixels = data.images("train").images
    # Moments from the histogram of each channel: exact, and no float copy of the data set.
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(pixels.shape[1]):
        share = torch.bincount(pixels[:, channel].reshape(-1), minlength=256).double()
        share /= share.sum()
        centre = float((share * values).sum())
        mean.append(round(centre, 4))
        std.append(round(max(float((share * (values - centre) ** 2).sum()) ** 0.5, 1e-3), 4))
    return Preprocessing(tuple(mean), tuple(std), data.size)
