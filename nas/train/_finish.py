"""The end of a training: final accuracies, calibration images while the real ones are at hand, the model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.train._log import Log
from nas.train._state import State
from nas.train._validate import Validation, evaluate
from nas.train.distil import distil, with_statistics

if TYPE_CHECKING:
    from nas.train.engine import Job


def trained(folder: Path) -> bool:
    """Whether the run in `folder` has written its model."""
    return (folder / "model").exists()


def finish(job: Job, state: State, validation: Validation | None, log: Log) -> Path:
    """Evaluate on the test images, distil calibration images and write `folder`/model."""
    from nas.families import save_model

    assert validation is not None
    supernet, recipe, device = state.averaged, job.recipe, job.group.device
    test = Validation.of(job.data, job.stats, recipe, device, "test")
    info: dict[str, Any] = {
        "data": job.data.name,
        "epochs": recipe.epochs,
        "method": recipe.method,
        "val": evaluate(supernet, validation, seed=recipe.seed),
        "test": evaluate(supernet, test, seed=recipe.seed),
    }
    log.say(
        f"test top-1: largest {info['test']['largest_top1']:.2f}%, smallest {info['test']['smallest_top1']:.2f}%"
    )
    calibration = None
    if recipe.distil_steps:
        images = distil(
            supernet,
            validation.calibration,
            validation.normalizer,
            classes=len(job.data.classes),
            steps=recipe.distil_steps,
            seed=recipe.seed,
            progress=log.stage("distilling calibration images"),
        )
        calibration = with_statistics(supernet, images, validation.calibration, validation.normalizer)
    path = job.folder / "model"
    save_model(
        path,
        supernet.cpu(),
        name=recipe.name,
        classes=list(job.data.classes),
        mean=job.stats.mean,
        std=job.stats.std,
        calibration=calibration,
        info=info,
    )
    log.say(f"wrote {path}")
    return path
