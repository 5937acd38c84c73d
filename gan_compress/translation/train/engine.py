"""The loop of an image-to-image training: steps, samples, checkpoints; the same bits whether or not interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_compress.train.images import RealImages, real_images
from gan_compress.train.log import GameLog
from gan_compress.train.loop import Losses, check_folder, one_device, run_steps, save_checkpoint
from gan_compress.translation.pairs import get_pairs
from gan_compress.translation.train.finish import finish
from gan_compress.translation.train.recipe import TAKEN, Recipe
from gan_compress.translation.train.samples import draw_samples
from gan_compress.translation.train.start import CHECKPOINT, Start, read_start, take_over
from gan_compress.translation.train.state import State, build_state, set_rates
from gan_compress.translation.train.steps import Steps
from nas._errors import UsageError
from nas._files import write_json
from nas.train._checkpoint import Checkpoint, check_same, read_checkpoint
from nas.train.data import Data

HELD_OUT = 200
"""Validation pictures that sample pictures are taken from and PSNR is told of while training."""
CALIBRATION_IMAGES = 256
"""Inputs that subnets with batch norms recompute their statistics with, also in the model's folder."""


@dataclass(frozen=True)
class Job:
    """One training run: what, on what, where to.

    `held_out` are validation pictures (n, 3, h, w), `calibration` inputs made of training pictures; -1 to 1.
    """

    recipe: Recipe
    folder: Path
    data_name: str
    real: RealImages
    held_out: Tensor
    calibration: Tensor
    digest: str
    teacher: dict[str, Any] | None

    @property
    def about(self) -> dict[str, Any]:
        """Facts that a checkpoint carries for whoever opens it without the data."""
        return {"data": self.data_name, "teacher": self.teacher}


def train(
    recipe: Recipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    threads: int | None = None,
    show: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a generator in one stage and return the model folder `folder`/model.

    `start` is the folder of a teacher's run, or a generator's model; stage "compress" needs one. With `resume` a run
    that was stopped or killed goes on from its last checkpoint, to the bit; `start` is not read then.

    Raises `UsageError` (a folder in use, a changed recipe, no start, no pairs), `NasError` (a broken checkpoint, a loss
    that is no longer finite: the last good checkpoint stays); after SIGINT or SIGTERM the run writes a checkpoint and
    raises an error of exit code 130.
    """
    if threads:
        torch.set_num_threads(threads)
    folder, chosen = Path(folder), one_device(device)
    check_folder(folder, resume)
    checkpoint = read_checkpoint(folder / CHECKPOINT, chosen) if resume else None
    begin = None if checkpoint is not None else _begin(recipe, start)
    if checkpoint is not None and recipe.has_teacher:
        # What was taken from the start is in the checkpoint's recipe.
        recipe = Recipe.from_dict({**recipe.to_dict(), **_taken(checkpoint)}, "checkpoint")
    elif begin is not None:
        recipe = begin.adopt(recipe)
    if not recipe.pairs:
        raise UsageError("recipe: pairs is not set; set it, for example --set pairs=blur")
    teacher = checkpoint.about.get("teacher") if checkpoint is not None else begin and begin.options
    job = _job(recipe, data, folder, chosen, teacher)
    if checkpoint is not None:
        check_same(checkpoint, job.digest, job.recipe.to_dict(), folder / CHECKPOINT)
    state = build_state(recipe, teacher, chosen)
    if checkpoint is not None:
        state.load(checkpoint.step, checkpoint.state)
        del checkpoint
    else:
        if begin is not None:
            take_over(state, begin, recipe)
        write_json(folder / "recipe.json", recipe.to_dict())
    log = GameLog(folder, recipe.steps, state.step, show=show, leads=True, tensorboard=tensorboard)
    try:
        _loop(job, state, log)
        return _finish(job, state, log)
    finally:
        log.close()


def _begin(recipe: Recipe, start: str | Path | None) -> Start | None:
    if recipe.has_teacher:
        if start is None:
            raise UsageError(
                "stage 'compress' needs a teacher; name the folder of its run or its model as start"
            )
        return read_start(start)
    if start is not None:
        raise UsageError("stage 'teacher' starts from nothing; leave start out")
    return None


def _taken(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: checkpoint.recipe[name] for name in TAKEN if name in checkpoint.recipe}


def _job(
    recipe: Recipe, data: Data, folder: Path, device: torch.device, teacher: dict[str, Any] | None
) -> Job:
    real = real_images(data, recipe.resolution).to(device)
    kept = real_images(data, recipe.resolution, "val", HELD_OUT).to(device)
    held_out = kept.pixels.float() / 127.5 - 1
    count = len(real.labels)
    chosen = torch.linspace(0, count - 1, min(CALIBRATION_IMAGES, count)).long().to(device)
    calibration = get_pairs(recipe.pairs)(real.pixels[chosen].float() / 127.5 - 1)
    digest = recipe.digest(train=count, teacher=teacher)
    return Job(recipe, folder, data.name, real, held_out, calibration, digest, teacher)


def _loop(job: Job, state: State, log: GameLog) -> None:
    recipe = job.recipe
    steps = Steps(recipe, state, job.real, get_pairs(recipe.pairs))

    def take() -> Losses:
        set_rates(state, recipe)
        losses = steps.step()
        state.step += 1
        return losses

    def draw(step: int) -> None:
        path = job.folder / "samples" / f"{step:07d}.png"
        found = draw_samples(path, state, job.held_out, job.calibration, recipe.pairs)
        told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        log.say(f"step {step}: PSNR in dB {told} on {len(job.held_out)} validation images")

    def save() -> None:
        save_checkpoint(job.folder, recipe, state, job.digest, job.about)

    run_steps(recipe, state, log, take=take, draw=draw, save=save)


def _finish(job: Job, state: State, log: GameLog) -> Path:
    path = finish(job, state)
    log.say(f"wrote {path}")
    return path
