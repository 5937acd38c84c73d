"""The loop of an elastic training: the same bits whether or not it was interrupted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from diffusion.captions import plain_name
from diffusion.distil.recipe import Recipe
from diffusion.distil.state import State, build_state, sort_channels, with_subnet
from diffusion.distil.steps import Steps
from diffusion.pipeline import find_pipeline, load_pipeline, read_info, weights_digest, write_pipeline
from diffusion.sample import Settings, generate
from diffusion.train.captioned import captioned_images
from diffusion.train.engine import check_length, check_machine
from diffusion.train.images import Captioned
from nas._errors import UsageError
from nas._files import new_folder, write_json
from nas._pictures import grid, write_png
from nas.train._checkpoint import Checkpoint, check_same, read_checkpoint
from nas.train._group import Group, joined
from nas.train._log import LossLog
from nas.train.data import Data
from nas.train.engine import CHECKPOINT
from nas.train.loop import check_folder, run_steps, save_checkpoint

START = "start"
"""The run's own copy of the frozen original: a resumed run needs nothing else."""
_SHOWN = 10


class DistilLog(LossLog):
    """Progress of one run: the loss, and the errors against the original's output."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "loss", "output", "feature", "largest", "narrowest", "images_per_s",
    )  # fmt: skip
    shown: ClassVar[tuple[str, ...]] = ("largest", "narrowest", "feature")


@dataclass(frozen=True)
class Job:
    """One training run: what, on what, where to."""

    recipe: Recipe
    folder: Path
    data_name: str
    pipeline: Any
    info: dict[str, Any]
    data: Captioned
    groups: list[tuple[str, ...]]
    digest: str
    group: Group


def distil(
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
    """Train every subnet of a pipeline's UNet beside the frozen original and return the folder `folder`/model.

    `start` is the original, as `load_pipeline` takes it; all its other parts are kept as they are. The result is a
    pipeline of the same shape, whose UNet's slices work. An elastic `start` is gone on from: its channels keep their
    order. `data` and `described` are as for `diffusion.train.train`.
    With `resume` a run that was stopped or killed goes on from its last checkpoint, on one process to the bit; `start`
    is not read then.

    Raises `UsageError` (a folder in use, a changed recipe, no start), `NasError` (a broken checkpoint, a loss that is
    no longer finite: the last good checkpoint stays); after SIGINT or SIGTERM the run writes a checkpoint and raises an
    error of exit code 130.
    """
    if threads:
        torch.set_num_threads(threads)
    with joined(device) as group:
        check_machine(recipe, group)
        check_folder(Path(folder), resume)
        job, checkpoint = _begin(recipe, data, Path(folder), start, described, resume, group)
        state, steps = _state(job, checkpoint)
        del checkpoint
        log = DistilLog(
            job.folder, recipe.steps, state.step, show=show, leads=group.leads, tensorboard=tensorboard
        )
        try:
            _loop(job, state, steps, log)
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
) -> tuple[Job, Checkpoint | None]:
    """Return what is to be done, and the checkpoint that is gone on from."""
    checkpoint = read_checkpoint(folder / CHECKPOINT, group.device) if resume else None
    if checkpoint is None and group.leads:
        _keep_start(folder, start)
    group.wait()
    job = _job(recipe, data, folder, described, group)
    if checkpoint is not None:
        check_same(checkpoint, job.digest, recipe.to_dict(), folder / CHECKPOINT)
        check_length(checkpoint, recipe)
    if group.leads:
        write_json(folder / "recipe.json", recipe.to_dict())
    return job, checkpoint


def _state(job: Job, checkpoint: Checkpoint | None) -> tuple[State, Steps]:
    """Return the state of the checkpoint, or a sorted one of step 0, and what takes its steps."""
    state, teacher = build_state(job.recipe, job.pipeline, job.group.device)
    steps = Steps(job.recipe, state, teacher, job.pipeline, job.data, job.group)
    if checkpoint is not None:
        state.load(checkpoint.step, checkpoint.state)
    elif "elastic" not in job.info:  # else they are in order, and subnets rely on it
        sort_channels(state, steps.lessons.importance_examples(), job.group)
    return state, steps


def _keep_start(folder: Path, start: str | Path | None) -> None:
    """Copy the original into the run's folder."""
    if start is None:
        raise UsageError(
            "an elastic training needs a trained pipeline; name one, such as tiny-sd-cifar10, as start"
        )
    source = find_pipeline(start)
    if (folder / START).is_dir():  # of a run that was killed before its first checkpoint
        shutil.rmtree(folder / START)
    with new_folder(folder / START) as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)


def _job(recipe: Recipe, data: Data, folder: Path, described: bool, group: Group) -> Job:
    pipeline = load_pipeline(folder / START, device=str(group.device))
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    captioned, groups = captioned_images(pipeline, data, described)
    facts = {"captions": groups, "train": len(captioned.real.labels)}
    digest = recipe.digest(**facts, start=weights_digest(folder / START))
    info = read_info(folder / START)
    return Job(recipe, folder, plain_name(data.name), pipeline, info, captioned, groups, digest, group)


def _loop(job: Job, state: State, steps: Steps, log: DistilLog) -> None:
    run_steps(
        job.recipe,
        state,
        log,
        take=steps.take,
        draw=lambda step: draw_samples(job, state, job.folder / "samples" / f"{step:07d}.png"),
        save=lambda: save_checkpoint(
            job.folder, job.recipe, state, job.digest, {"data": job.data_name}, job.group.leads
        ),
        group=job.group,
    )


def draw_samples(job: Job, state: State, path: Path) -> None:
    """Write a row of images of the largest, the half and the narrowest subnet, the same prompts and seeds."""
    prompts = [group[0] for group in job.groups[:_SHOWN]]
    settings = Settings(steps=job.recipe.sample_steps, guidance=job.recipe.guidance)
    pictures = []
    for subnet in (state.family.space.largest(), state.family.uniform(0.5), state.family.uniform(0)):
        made = with_subnet(job.pipeline, state.averaged, subnet)
        pictures += [*generate(made, prompts, range(len(prompts)), settings)]
    write_png(path, grid(pictures, len(prompts)))


def _finish(job: Job, state: State, log: DistilLog) -> Path:
    """Write the averaged weights as a pipeline folder, which says what its UNet's subnets are."""
    path, recipe = job.folder / "model", job.recipe
    if not job.group.leads:
        job.group.wait()
        return path
    largest = state.family.space.largest()
    made = with_subnet(job.pipeline, state.averaged, largest).to("cpu")
    options = {name: value for name, value in state.family.options.items() if name != "config"}
    elastic = {"data": job.data_name, "steps": state.step, "batch_size": recipe.batch_size}
    write_pipeline(
        path, made, {**job.info, "name": recipe.name, "space": {"unet": options}, "elastic": elastic}
    )
    log.say(f"wrote {path}")
    job.group.wait()
    return path
