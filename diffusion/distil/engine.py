"""The loop of a distillation, of all subnets or of one: the same bits whether or not it was interrupted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffusion.captions import plain_name
from diffusion.distil.elastic import Elastic
from diffusion.distil.fixed import Chosen, Fixed, choose, keep
from diffusion.distil.recipe import Recipe
from diffusion.distil.state import require_taught
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
    chosen: Chosen | None


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
    pipeline of the same shape, whose UNet's slices work; or, where the recipe names one `subnet`, a pipeline of that
    subnet, recovered. An elastic `start` is gone on from: its channels keep their order. `data` and `described` are as
    for `diffusion.train.train`.
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
        resumed = checkpoint is not None
        training = Elastic(job, resumed) if job.chosen is None else Fixed(job, job.chosen, resumed)
        if checkpoint is not None:
            training.state.load(checkpoint.step, checkpoint.state)
        del checkpoint
        log = training.log(
            job.folder,
            recipe.steps,
            training.state.step,
            show=show,
            leads=group.leads,
            tensorboard=tensorboard,
        )
        try:
            _loop(job, training, log)
            return _finish(job, training, log)
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
    job = _job(recipe, data, folder, described, resume, group)
    if checkpoint is not None:
        check_same(checkpoint, job.digest, job.recipe.to_dict(), folder / CHECKPOINT)
        check_length(checkpoint, recipe)
    if group.leads:
        write_json(folder / "recipe.json", job.recipe.to_dict())
        if job.chosen is not None and checkpoint is None:
            keep(job.chosen, folder)
    return job, checkpoint


def _keep_start(folder: Path, start: str | Path | None) -> None:
    """Copy the original into the run's folder."""
    if start is None:
        raise UsageError(
            "a distillation needs a trained pipeline; name one, such as tiny-sd-cifar10, as start"
        )
    source = find_pipeline(start)
    require_taught(source)
    if (folder / START).is_dir():  # of a run that was killed before its first checkpoint
        shutil.rmtree(folder / START)
    with new_folder(folder / START) as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)


def _job(recipe: Recipe, data: Data, folder: Path, described: bool, resume: bool, group: Group) -> Job:
    pipeline = load_pipeline(folder / START, device=str(group.device))
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    chosen = choose(recipe, pipeline, folder, resume)
    captioned, groups = captioned_images(pipeline, data, described)
    facts = {"captions": groups, "train": len(captioned.real.labels)}
    if chosen is not None:
        # What is saved names choices, never a path.
        recipe, facts = (
            recipe.replaced(subnet=chosen.name),
            {**facts, **chosen.facts, "lora_rank": recipe.lora_rank},
        )
    digest = recipe.digest(**facts, start=weights_digest(folder / START))
    info = read_info(folder / START)
    name = plain_name(data.name)
    return Job(recipe, folder, name, pipeline, info, captioned, groups, digest, group, chosen)


def _loop(job: Job, training: Elastic | Fixed, log: LossLog) -> None:
    run_steps(
        job.recipe,
        training.state,
        log,
        take=training.take,
        draw=lambda step: draw_samples(job, training, job.folder / "samples" / f"{step:07d}.png"),
        save=lambda: save_checkpoint(
            job.folder, job.recipe, training.state, job.digest, {"data": job.data_name}, job.group.leads
        ),
        group=job.group,
    )


def draw_samples(job: Job, training: Elastic | Fixed, path: Path) -> None:
    """Write a row of images of each pipeline that the training shows, the same prompts and seeds."""
    prompts = [group[0] for group in job.groups[:_SHOWN]]
    settings = Settings(steps=job.recipe.sample_steps, guidance=job.recipe.guidance)
    pictures = []
    for made in training.rows():
        pictures += [*generate(made, prompts, range(len(prompts)), settings)]
    write_png(path, grid(pictures, len(prompts)))


def _finish(job: Job, training: Elastic | Fixed, log: LossLog) -> Path:
    """Write the averaged weights as a pipeline folder; where another process does, wait for it."""
    path = job.folder / "model"
    if job.group.leads:
        made, info = training.finish()
        write_pipeline(path, made, info)
        log.say(f"wrote {path}")
    job.group.wait()
    return path
