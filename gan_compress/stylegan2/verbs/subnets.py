"""Generators and their subnets as people name them, and the styles of what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from gan_compress.stylegan2.edit import Directions
from gan_compress.stylegan2.generate import generator_family, is_ratio, latents, ratio_subnet, styles
from gan_compress.stylegan2.networks import Generator
from gan_compress.stylegan2.projection import Projection
from gan_compress.subnets import AnyModel, SubnetWords
from nas.models import Model
from nas.space import Subnet

_WORDS = SubnetWords(
    "anycost-digits", "a width such as 0.5 or 0.5@16", is_ratio, ratio_subnet, generator_family
)


def open_generator(model: AnyModel = None, *subnets: str) -> tuple[Model, dict[str, Subnet]]:
    """Return a generator and those of its subnets that words name.

    Args:
        model: A generator, its name or folder; None for the one that a run among `subnets` belongs to, or the default.
        *subnets: "largest", "smallest", a width such as "0.5", or "0.5@16", a run's folder, a file subnet.json.

    Raises:
        UsageError: A model of another kind, a subnet that it does not have.
    """
    return _WORDS.open(model, subnets)


def subnet_words(model: Model, subnet: Subnet) -> str:
    """Return a subnet's resolution and channels for readers."""
    family = generator_family(model)
    return f"{family.resolution_of(subnet)} px, channels {'-'.join(map(str, family.channels(subnet)[1::2]))}"


def class_name(model: Model, index: int | None) -> str | None:
    """Return the name of a class; None for none."""
    return None if index is None else model.classes[index]


def asked_styles(
    model: Model,
    network: Generator,
    seeds: Sequence[int],
    classes: Sequence[int | None],
    truncation: float = 1.0,
    *,
    projection: str | Path | None = None,
    moves: Sequence[tuple[str, float]] = (),
) -> Tensor:
    """Return the styles of seeds or of a projected picture, moved towards labels.

    Args:
        model: The generator.
        network: Maps latents to styles; every subnet's mapping is the same.
        seeds: Of the latents, one an image.
        classes: Of each image; None for the one that follows from its seed.
        truncation: 1 leaves the styles where they are, 0 moves them to the mean of their class.
        projection: A file that `project_picture` wrote, in the place of seeds and classes.
        moves: Labels and how far, in standard deviations of the label's score.

    Returns:
        (n, style), or (1, layers, style) of a picture that was projected layer by layer.
    """
    if projection is None:
        found = styles(network, latents(model, seeds, classes), truncation)
    else:
        found = Projection.load(projection, model).styles
    if moves:
        directions = Directions.load(model)
        for label, amount in moves:
            found = directions.apply(found, label, amount)
    return found
