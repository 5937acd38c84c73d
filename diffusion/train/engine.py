"""The loop of a pipeline's training: the same bits whether or not it was interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from diffusion.autoencoder import PatchAutoencoder, fit_patches
from diffusion.captions import all_captions, caption_groups, plain_name
from diffusion.pipeline import find_pipeline, load_pipeline, weights_digest, write_pipeline
from diffusion.tokenizer import make_tokenizer
from diffusion.train.images import pixel_batches, tokenized
from diffusion.train.recipe import Recipe
from diffusion.train.samples import averaged_pipeline, draw_samples
from diffusion.train.schedule import Schedule
from diffusion.train.state import State, build_state, take_over
from diffusion.train.steps import Steps
from nas._errors import UsageError
from nas._files import write_json
from nas.train._checkpoint import Checkpoint, check_same, read_checkpoint
from nas.train._group import Group, joined
from nas.train._log import LossLog
from nas.train.data import Data
from nas.train.engine import CHECKPOINT
from nas.train.images import RealImages, real_images
from nas.train.loop import check_folder, run_steps, save_checkpoint


class DiffusionLog(LossLog):
    """Progress of one run: the weighted loss, and the plain error of v."""

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "v", "images_per_s")
    shown: ClassVar[tuple[str, ...]] = ("v",)


@dataclass(frozen=True)
class Job:
    """One training run: what, on what, where to."""

    recipe: Recipe
    folder: Path
    data_name: str
    real: RealImages
    groups: list[tuple[str, ...]]
    tokenizer: Any
    digest: str
    group: Group
    start: str

    @property
    def about(self) -> dict[str, Any]:
        """Facts that a checkpoint carries for whoever opens it without the data."""
        return {
            "data": self.data_name,
            "captions": [list(group) for group in self.groups],
            "start": self.start,
        }


def train(
    recipe: Recipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    described: bool = False,
    resume: bool = False,
    device: str | None = None,
    threads: int | None = None,
    show: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a text-to-image pipeline and return its folder `folder`/model, which diffusers loads.

    The data's classes become captions by templates; with `described` they are captions already, as those of
    `diffusion.captions.open_captioned`. `start` is a pipeline of an earlier run of the same shapes and captions whose
    weights are gone on from, as `load_pipeline` takes it. With `resume` a run that was stopped or killed goes on from
    its last checkpoint, on one process to the bit; `start` is not read then.

    Raises `UsageError` (a folder in use, a changed recipe, a start of other shapes), `NasError` (a broken checkpoint, a
    loss that is no longer finite: the last good checkpoint stays); after SIGINT or SIGTERM the run writes a checkpoint
    and raises an error of exit code 130.
    """
    if threads:
        torch.set_num_threads(threads)
    with joined(device) as group:
        check_machine(recipe, group)
        check_folder(Path(folder), resume)
        job, state = _begin(recipe, data, Path(folder), start, described, resume, group)
        if group.leads:
            write_json(job.folder / "recipe.json", recipe.to_dict())
        log = DiffusionLog(
            job.folder, recipe.steps, state.step, show=show, leads=group.leads, tensorboard=tensorboard
        )
        try:
            _loop(job, state, log)
            return _finish(job, state, log)
        finally:
            log.close()


def _begin(
    recipe: Recipe,
    data: Data,
    folder: Path,
    start: str | Path | None,
    described: bool,
    resume: bool,
    group: Group,
) -> tuple[Job, State]:
    """Return what is to be done, and the state that it begins or goes on from."""
    checkpoint = read_checkpoint(folder / CHECKPOINT, group.device) if resume else None
    begin = None if start is None or checkpoint is not None else load_pipeline(start)
    origin = "" if begin is None else weights_digest(find_pipeline(str(start)))
    if checkpoint is not None:
        origin = str(checkpoint.about.get("start", ""))
    job = _job(recipe, data, folder, described, group, origin)
    if checkpoint is not None:
        check_same(checkpoint, job.digest, recipe.to_dict(), folder / CHECKPOINT)
        check_length(checkpoint, recipe)
    state = build_state(recipe, job.tokenizer, _autoencoder(job, fitted=checkpoint is None), group.device)
    if checkpoint is not None:
        state.load(checkpoint.step, checkpoint.state)
    elif begin is not None:
        take_over(state, begin, job.tokenizer)
    group.follow(state.networks, state.averaged, state.autoencoder)
    return job, state


def check_length(checkpoint: Checkpoint, recipe: Schedule) -> None:
    """Raise `UsageError` unless the steps done are those of a run of `recipe.steps` from the start."""
    before = type(recipe).from_dict(checkpoint.recipe, "checkpoint")
    if before.steps != recipe.steps and checkpoint.step > min(before.cooldown_start, recipe.cooldown_start):
        raise UsageError(
            f"the run was to have {before.steps} steps and has done {checkpoint.step}: its rate falls already, or "
            f"would have with {recipe.steps} steps; resume with --steps {before.steps}"
        )


def check_machine(recipe: Schedule, group: Group) -> None:
    """Raise `UsageError` for a precision that the device does not take, and a batch that cannot be shared equally."""
    if recipe.precision == "bf16" and group.device.type == "cpu":
        raise UsageError("precision bf16 trains no faster than fp32 on a CPU; use fp32 or auto")
    group.share(recipe.batch_size)


def _job(recipe: Recipe, data: Data, folder: Path, described: bool, group: Group, start: str) -> Job:
    groups = caption_groups(data, described)
    tokenizer = make_tokenizer(all_captions(groups), recipe.tokens)
    real = real_images(data, recipe.resolution)
    digest = recipe.digest(captions=groups, train=len(real.labels), start=start)
    return Job(recipe, folder, plain_name(data.name), real, groups, tokenizer, digest, group, start)


def _autoencoder(job: Job, fitted: bool) -> PatchAutoencoder:
    """Return the autoencoder, fitted to the training images, or of noise for a checkpoint to replace."""
    recipe = job.recipe
    batches = (
        pixel_batches(job.real) if fitted else [torch.randn(64, 3, recipe.resolution, recipe.resolution)]
    )
    return fit_patches(
        batches,
        patch=recipe.patch,
        latent_channels=recipe.latent_channels,
        whiten=recipe.whiten,
        size=recipe.resolution,
    )


def _loop(job: Job, state: State, log: DiffusionLog) -> None:
    data = tokenized(job.real, job.groups, job.tokenizer, job.group.device)
    steps = Steps(job.recipe, state, data, job.group)

    def draw(step: int) -> None:
        path = job.folder / "samples" / f"{step:07d}.png"
        draw_samples(path, job.recipe, state, job.tokenizer, job.groups)

    run_steps(
        job.recipe,
        state,
        log,
        take=steps.take,
        draw=draw,
        save=lambda: save_checkpoint(job.folder, job.recipe, state, job.digest, job.about, job.group.leads),
        group=job.group,
    )


def _finish(job: Job, state: State, log: DiffusionLog) -> Path:
    """Write the averaged weights as a pipeline folder; where another process does, wait for it."""
    path = job.folder / "model"
    if not job.group.leads:
        job.group.wait()
        return path
    pipeline = averaged_pipeline(job.recipe, state, job.tokenizer).to("cpu")
    info = {
        "name": job.recipe.name,
        "data": job.data_name,
        "steps": state.step,
        "batch_size": job.recipe.batch_size,
        "guidance": job.recipe.guidance,
        "prompts": [group[0] for group in job.groups[:1000]],
    }
    write_pipeline(path, pipeline, info)
    log.say(f"wrote {path}")
    job.group.wait()
    return path
