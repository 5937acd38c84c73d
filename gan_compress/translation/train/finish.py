"""The end of a training: what the generator reaches on validation pictures, and its model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_compress.translation.pairs import to_bytes
from gan_compress.translation.train.samples import columns, psnr_db
from gan_compress.translation.train.state import State
from nas.families import Calibration, save_model

if TYPE_CHECKING:
    from gan_compress.translation.train.engine import Job


def finish(job: Job, state: State) -> Path:
    """Write `folder`/model.

    With batch norms the folder gets inputs made of training pictures, which subnets recompute their statistics with.
    """
    recipe, path = job.recipe, job.folder / "model"
    info: dict[str, Any] = {
        "data": job.data_name,
        "pairs": recipe.pairs,
        "stage": recipe.stage,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "val_psnr_db": psnr_db(columns(state, job.held_out, job.calibration, recipe.pairs)),
    }
    calibration = Calibration(to_bytes(job.calibration).cpu()) if recipe.norm == "batch" else None
    half = (0.5, 0.5, 0.5)
    save_model(
        path, state.generator().cpu(), name=recipe.name, classes=(), mean=half, std=half, calibration=calibration,
        info=info,
    )  # fmt: skip
    return path
