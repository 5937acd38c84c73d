"""Synthetic inputs of a trained image-to-image generator, so that none of the data ships."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_compress.pix2pix.pairs import get_pairs, to_bytes
from gan_compress.pix2pix.training.recipe import TranslationRecipe
from nas.elastic import Supernet
from nas.models import Calibration
from nas.train.calibration.dead_leaves import dead_leaves
from nas.train.calibration.distil import distil, with_statistics
from nas.train.log import Log


def synthetic_inputs(
    recipe: TranslationRecipe, generator: Supernet, calibration: Tensor, log: Log
) -> Calibration:
    """Return inputs made of dead leaves and distilled, with the statistics that they and real inputs cause.

    What is left of an error on the largest network is known, and corrected in its subnets. `calibration` are real
    inputs (n, 3, h, w), -1 to 1.
    """
    real = to_bytes(calibration)
    leaves = torch.from_numpy(dead_leaves(len(real), (recipe.resolution, recipe.resolution), recipe.seed))
    images = to_bytes(get_pairs(recipe.pairs)(_scaled(leaves)))
    if recipe.distil_steps:
        images = distil(
            generator, real, _scaled, classes=None, start=images, steps=recipe.distil_steps, seed=recipe.seed,
            progress=log.stage("distilling calibration images"),
        )  # fmt: skip
    return with_statistics(generator, images, real, _scaled)


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1
