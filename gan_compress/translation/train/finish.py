"""The end of a training: what the generator reaches on validation pictures, and its model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gan_compress.translation.pairs import get_pairs, to_bytes
from gan_compress.translation.train.samples import columns, psnr_db
from gan_compress.translation.train.state import State
from nas.elastic import Supernet
from nas.families import Calibration, save_model
from nas.train._leaves import dead_leaves
from nas.train.distil import distil, with_statistics

if TYPE_CHECKING:
    from gan_compress.translation.train.engine import Job


def finish(job: Job, state: State) -> Path:
    """Write `folder`/model, with synthetic inputs for batch norms' statistics; `val_psnr_db` is with real ones."""
    recipe, path, generator = job.recipe, job.folder / "model", state.generator()
    info: dict[str, Any] = {
        "data": job.data_name,
        "pairs": recipe.pairs,
        "stage": recipe.stage,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "val_psnr_db": psnr_db(columns(state, job.held_out, job.calibration, recipe.pairs)),
    }
    calibration = _synthetic(job, generator) if recipe.norm == "batch" else None
    half = (0.5, 0.5, 0.5)
    save_model(
        path, generator.cpu(), name=recipe.name, classes=(), mean=half, std=half, calibration=calibration,
        info=info,
    )  # fmt: skip
    return path


def _synthetic(job: Job, generator: Supernet) -> Calibration:
    """Return inputs made of dead leaves and distilled, with the statistics that they and real inputs cause.

    So none of the data ships. What is left of an error on the largest network is known, and corrected in its subnets.
    """
    recipe, real = job.recipe, to_bytes(job.calibration)
    leaves = torch.from_numpy(dead_leaves(len(real), (recipe.resolution, recipe.resolution), recipe.seed))
    images = to_bytes(get_pairs(recipe.pairs)(_scaled(leaves)))
    if recipe.distil_steps:
        images = distil(
            generator, real, _scaled, classes=None, start=images, steps=recipe.distil_steps, seed=recipe.seed
        )
    return with_statistics(generator, images, real, _scaled)


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1
