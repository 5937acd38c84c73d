"""From a seed and a class to styles, images and pictures.

A latent depends on its seed alone, so that an image is the same one in every grid, and of every subnet.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gan_compress.stylegan2.family import RATIOS, StyleGAN2
from gan_compress.stylegan2.networks import Generator, StyledConv
from gan_compress.stylegan2.task import full_size
from nas.errors import UsageError
from nas.files import listed
from nas.metrics.features import feature_space
from nas.models import Model
from nas.space import Subnet

MEAN_STYLES = 2000
"""How many styles the mean style of a class is taken over."""
_MEAN_SEED = 0
_BATCH = 16
_RATIO = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:@(\d+))?")


# --- generators -------------------------------------------------------------------------------------------------------


def generator_family(model: Model) -> StyleGAN2:
    """Return the family of a generator; another kind of model raises `UsageError`."""
    if isinstance(model.family, StyleGAN2):
        return model.family
    raise UsageError(
        f"{model.name} is a model for {model.task.name} and no generator; name one with --model ('nas list' shows all)"
    )


def load_generator(model: Model, subnet: Subnet) -> Generator:
    """Return the static generator of `subnet`, in evaluation mode; a model of another kind raises `UsageError`."""
    generator_family(model)
    network = model.extract(subnet)
    assert isinstance(network, Generator)
    return network.requires_grad_(False)


def is_ratio(text: str) -> bool:
    """Whether `text` is a width such as "0.5" or "0.5@16"."""
    return _RATIO.fullmatch(text) is not None


def ratio_subnet(model: Model, text: str) -> Subnet:
    """Return the subnet of a width such as "0.5", or "0.5@16" for images of 16 pixels.

    Raises `UsageError` for a width or a resolution that the model does not have.
    """
    found = _RATIO.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no width; give one such as 0.5, or 0.5@16 for images of 16 pixels")
    family, ratio, resolution = generator_family(model), float(found[1]), int(found[2] or 0)
    if ratio not in RATIOS:
        raise UsageError(f"{text} is no width of {model.name}; give {listed(RATIOS)}")
    sizes = family.space["resolution"].choices if "resolution" in family.space else (family.resolution,)
    if resolution and resolution not in sizes:
        raise UsageError(
            f"{model.name} makes no images of {resolution} pixels; give {listed(sizes)} after the @"
        )
    return family.uniform(ratio, resolution or None)


# --- latents and styles -----------------------------------------------------------------------------------------------


def class_index(model: Model, label: str) -> int:
    """Return the index of a class given by name or by number; an unknown one raises `UsageError`."""
    if not generator_family(model).classes:
        raise UsageError(f"{model.name} has no classes, but the class {label!r} was given; leave it out")
    names = model.classes
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    close = difflib.get_close_matches(label, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"the classes are {', '.join(names)}"
    raise UsageError(f"{model.name} has no class {label!r}; {hint}")


def class_shares(model: Model, labels: Sequence[int]) -> Tensor:
    """Return (n, classes): 1 for the class of each image; without classes (n, 0)."""
    classes = generator_family(model).classes
    shares = torch.zeros(len(labels), classes)
    if classes:
        shares[torch.arange(len(labels)), torch.tensor(labels, dtype=torch.long)] = 1
    return shares


def latents(model: Model, seeds: Sequence[int], labels: Sequence[int | None] | None = None) -> Tensor:
    """Return the inputs (n, style + classes) of a generator, one for each seed.

    A class that is None follows from the seed: the classes in turn.
    """
    family = generator_family(model)
    drawn = [torch.randn(family.style, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    turns = [seed % max(1, family.classes) for seed in seeds]
    if labels is not None:
        turns = [turn if label is None else label for turn, label in zip(turns, labels, strict=True)]
    return torch.cat([torch.stack(drawn), class_shares(model, turns)], 1)


@torch.no_grad()
def mean_style(network: Generator, shares_c: Tensor, count: int = MEAN_STYLES) -> Tensor:
    """Return the mean style (style,) of the images of a class, given as its shares (classes,)."""
    generator = torch.Generator().manual_seed(_MEAN_SEED)
    drawn = torch.randn(count, _style_size(network), generator=generator)
    return network.map(torch.cat([drawn, shares_c.expand(count, -1)], 1)).mean(0)


@torch.no_grad()
def styles(network: Generator, latents_bi: Tensor, truncation: float = 1.0) -> Tensor:
    """Return the styles (batch, style) of latents, moved towards the mean of their class.

    `truncation` 1 leaves them where they are, 0 moves them all the way.
    """
    found = network.map(latents_bi)
    if truncation == 1:
        return found
    shares = latents_bi[:, _style_size(network) :]
    kinds, which = torch.unique(shares, dim=0, return_inverse=True)
    means = torch.stack([mean_style(network, kind) for kind in kinds])[which]
    return means + truncation * (found - means)


def _style_size(network: Generator) -> int:
    assert isinstance(network.conv1, StyledConv)
    return network.conv1.conv.modulation.weight.shape[1]


@torch.no_grad()
def synthesize(network: Generator, styles_b: Tensor) -> Tensor:
    """Return the images (batch, 3, size, size) of styles, (batch, style) or (batch, layers, style)."""
    return torch.cat([network.synthesize(part) for part in styles_b.split(_BATCH)])


def interpolate(points_kb: Tensor, frames: int, *, loop: bool = False) -> Tensor:
    """Return styles on the straight lines from each of the points (k, …) to the next, `frames` a line.

    The last point is there too, unless `loop` leads back to the first.
    """
    ends = torch.cat([points_kb[1:], points_kb[:1]]) if loop else points_kb[1:]
    shares = (torch.arange(frames) / frames).view(-1, *[1] * (points_kb.ndim - 1))
    lines = [start + shares * (end - start) for start, end in zip(points_kb, ends, strict=False)]
    return torch.cat(lines if loop else [*lines, points_kb[-1:]])


# --- pictures ---------------------------------------------------------------------------------------------------------


def _scale(model: Model) -> tuple[Tensor, Tensor]:
    return torch.tensor(model.mean).view(1, -1, 1, 1), torch.tensor(model.std).view(1, -1, 1, 1)


def unit(model: Model, images: Tensor) -> Tensor:
    """Return a generator's images as numbers that are in [0, 1] for what a screen can show; not clipped."""
    mean, std = _scale(model)
    return images * std + mean


@torch.no_grad()
def difference(model: Model, first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return how much two batches of a generator's images differ; the smaller ones are enlarged.

    The mean feature distance, and the root mean squared error of pixels in [0, 1].
    """
    size = max(first.shape[-1], second.shape[-1])
    a, b = (unit(model, full_size(images, size)).clamp(0, 1) for images in (first, second))
    distance = feature_space().distances(2 * a - 1, 2 * b - 1)
    return float(distance.mean()), float((a - b).square().mean().sqrt())


def to_pixels(model: Model, images_bchw: Tensor, size: int | None = None) -> np.ndarray:
    """Return a generator's images as uint8 (n, height, width, 3), enlarged to `size` as a viewer does: bilinear."""
    shown = unit(model, full_size(images_bchw, size or images_bchw.shape[-1]))
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
