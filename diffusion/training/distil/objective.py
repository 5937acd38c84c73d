"""Training a pipeline's UNet beside the frozen original: all of its subnets, or one."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

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
from diffusion.training.distil.chosen import choose, keep
from diffusion.training.distil.recipe import DistillationRecipe
from diffusion.training.distil.state import require_taught
from nas.data.dataset import Data
from nas.errors import UsageError
from nas.files import new_folder
from nas.pictures import grid, write_png
from nas.train.log import Log
from nas.train.objective import Objective, Setup
from nas.train.state import TrainingState

START = "start"
"""The run's own copy of the frozen original: a resumed run needs nothing else."""
_SHOWN = 10


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


StateT = TypeVar("StateT", bound=TrainingState)


class DistillationObjective(Objective[DistillationRecipe, StateT]):
    """What both trainings beside a frozen original have in common.

    Attributes:
        pipeline: The frozen original, from the run's own copy; `info` is what its folder says.
        data: Captioned images; `data_name` is what they are called, `groups` are the captions of each class.
        chosen: The one subnet that is trained, None for all.
    """

    def __init__(
        self, recipe: DistillationRecipe, data: Data, start: str | Path | None, described: bool, setup: Setup
    ) -> None:
        folder, is_new = setup.folder, setup.checkpoint is None
        is_writer = is_new and setup.processes.is_main_process
        if is_writer:
            _keep_start(folder, start)
        setup.processes.wait_for_everyone()
        self.setup = setup
        self.pipeline = load_pipeline(folder / START, device=str(setup.device))
        for part in (self.pipeline.vae, self.pipeline.text_encoder, self.pipeline.unet):
            part.requires_grad_(False)
        self.chosen = choose(recipe, self.pipeline, folder, resume=not is_new)
        if self.chosen is not None:
            recipe = recipe.replaced(subnet=self.chosen.name)  # what is saved names choices, never a path
            if is_writer:
                keep(self.chosen, folder)
        self.recipe = recipe
        self.data, self.groups = captioned_images(self.pipeline, data, described)
        self.data_name, self.info = plain_name(data.name), read_info(folder / START)

    @property
    def facts(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {"captions": self.groups, "train": len(self.data.real.labels)}
        if self.chosen is not None:
            facts |= {**self.chosen.facts, "lora_rank": self.recipe.lora_rank}
        return {**facts, "start": weights_digest(self.setup.folder / START)}

    @property
    def about(self) -> Mapping[str, Any]:
        return {"data": self.data_name}

    @abstractmethod
    def shown_pipelines(self) -> list[Any]:
        """Return the pipelines whose samples are shown, a row each."""

    @abstractmethod
    def finished(self) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline of the averaged weights, and what is known of it."""

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        """Write a row of images of each pipeline that is shown, the same prompts and seeds."""
        prompts = [group[0] for group in self.groups[:_SHOWN]]
        settings = SamplingSettings(steps=self.recipe.sample_steps, guidance=self.recipe.guidance)
        pictures = []
        for made in self.shown_pipelines():
            pictures += [*generate(made, prompts, range(len(prompts)), settings)]
        write_png(samples, grid(pictures, len(prompts)))
        return {}

    def finish(self, folder: Path, log: Log) -> None:
        made, info = self.finished()
        write_pipeline(folder, made, info)
