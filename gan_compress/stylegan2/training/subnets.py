"""Which subnets a step trains."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from gan_compress.stylegan2.family import RATIOS, StyleGAN2
from gan_compress.stylegan2.training.recipe import GeneratorRecipe
from nas.space import SpaceError, Subnet
from nas.train import sampling


def widest(family: StyleGAN2, resolution: int) -> Subnet:
    """Return the subnet of all channels at one output resolution."""
    return _extreme(family, -1, resolution)


def narrowest(family: StyleGAN2, resolution: int) -> Subnet:
    """Return the subnet of the fewest channels at one output resolution."""
    return _extreme(family, 0, resolution)


def _extreme(family: StyleGAN2, position: int, resolution: int) -> Subnet:
    choices = {dimension.name: dimension.choices[position] for dimension in family.space.dimensions}
    if "resolution" in choices:
        choices["resolution"] = resolution
    return family.space.subnet(choices)


def drawn_resolution(recipe: GeneratorRecipe, family: StyleGAN2, step: int, rng: np.random.Generator) -> int:
    """Draw the output resolution of a "multires" step: the largest that is open half of the time, else any.

    While the generator grows, resolutions open one after another in equal numbers of steps (Karras et al. 2018).
    """
    known = family.resolutions
    growing = recipe.growing * recipe.steps
    opened = known[: 1 + int(step / growing * len(known))] if step < growing else known
    return opened[-1] if rng.random() < 0.5 else int(rng.choice(opened))


def random_subnet(family: StyleGAN2, rng: np.random.Generator, uniform_share: float) -> Subnet:
    """Draw a subnet: `uniform_share` of them have one ratio in all layers, the others one a layer."""
    if rng.random() < uniform_share:
        ratio, size = float(rng.choice(RATIOS)), int(rng.choice(family.resolutions))
        try:
            return family.uniform(ratio, size)
        except SpaceError:  # under some caps a uniform ratio is no choice of every layer
            pass
    return family.space.sample(rng)


def sandwich(family: StyleGAN2, rng: np.random.Generator, count: int, uniform_share: float) -> list[Subnet]:
    """Return the largest subnet, the narrowest at a random resolution and `count` random ones (Yu & Huang 2019)."""
    smallest = narrowest(family, int(rng.choice(family.resolutions)))
    draw = partial(random_subnet, family, uniform_share=uniform_share)
    return sampling.sandwich(family.space, rng, count, smallest=smallest, draw=draw)


def described(family: StyleGAN2, subnet: Subnet) -> Tensor:
    """Return what the discriminator is told of a subnet: each layer's share of its channels, 0 for layers left out."""
    kept = family.channels(subnet)
    shares = [count / most for count, most in zip(kept, family.full, strict=False)]
    return torch.tensor([*shares, *[0.0] * (len(family.full) - len(kept))])
