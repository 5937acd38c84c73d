"""Training a pipeline's UNet beside the frozen original: all of its subnets, or one."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.pipeline.files.folder import (
    find_pipeline,
    load_pipeline,
    read_info,
    weights_digest,
    write_pipeline,
)
from diffusion.pipeline.inputs.captions import plain_name
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from diffusion.training.captioned import captioned_images
from diffusion.training.distil.chosen import ChosenSubnet, choose, keep
from diffusion.training.distil.recipe import DistillationRecipe
from diffusion.training.distil.state import require_taught
from diffusion.training.images import Captioned
from nas.data.dataset import Data
from nas.errors import UsageError
from nas.files import new_folder
from nas.pictures import grid, write_png
from nas.train.log import Log
from nas.train.objective import Objective, Setup

START = "start"
"""The run's own copy of the frozen original: a resumed run needs nothing else."""
_SHOWN = 10


@dataclass(frozen=True)
class DistillationContext:
    """What is trained on what: the frozen original, captioned images, the one subnet if it is one."""

    recipe: DistillationRecipe
    setup: Setup
    pipeline: Any
    info: dict[str, Any]
    data: Captioned
    data_name: str
    groups: list[tuple[str, ...]]
    chosen: ChosenSubnet | None


def open_job(
    recipe: DistillationRecipe, data: Data, start: str | Path | None, described: bool, setup: Setup
) -> DistillationContext:
    """Copy the original into a new run's folder, and read what is trained."""
    folder, is_new = setup.folder, setup.checkpoint is None
    if is_new and setup.processes.is_main_process:
        _keep_start(folder, start)
    setup.processes.wait_for_everyone()
    pipeline = load_pipeline(folder / START, device=str(setup.device))
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    chosen = choose(recipe, pipeline, folder, resume=not is_new)
    if chosen is not None:
        recipe = recipe.replaced(subnet=chosen.name)  # what is saved names choices, never a path
        if is_new and setup.processes.is_main_process:
            keep(chosen, folder)
    captioned, groups = captioned_images(pipeline, data, described)
    info = read_info(folder / START)
    return DistillationContext(
        recipe, setup, pipeline, info, captioned, plain_name(data.name), groups, chosen
    )


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


class DistillationObjective(Objective):
    """What both trainings beside a frozen original have in common."""

    recipe: DistillationRecipe  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, job: DistillationContext) -> None:
        self.job, self.recipe, self.setup = job, job.recipe, job.setup

    @property
    def facts(self) -> Mapping[str, Any]:
        job = self.job
        facts: dict[str, Any] = {"captions": job.groups, "train": len(job.data.real.labels)}
        if job.chosen is not None:
            facts |= {**job.chosen.facts, "lora_rank": job.recipe.lora_rank}
        return {**facts, "start": weights_digest(job.setup.folder / START)}

    @property
    def about(self) -> Mapping[str, Any]:
        return {"data": self.job.data_name}

    @abstractmethod
    def shown_pipelines(self) -> list[Any]:
        """Return the pipelines whose samples are shown, a row each."""

    @abstractmethod
    def finished(self) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline of the averaged weights, and what is known of it."""

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        """Write a row of images of each pipeline that is shown, the same prompts and seeds."""
        prompts = [group[0] for group in self.job.groups[:_SHOWN]]
        settings = SamplingSettings(steps=self.recipe.sample_steps, guidance=self.recipe.guidance)
        pictures = []
        for made in self.shown_pipelines():
            pictures += [*generate(made, prompts, range(len(prompts)), settings)]
        write_png(samples, grid(pictures, len(prompts)))
        return {}

    def finish(self, folder: Path, log: Log) -> None:
        made, info = self.finished()
        write_pipeline(folder, made, info)
