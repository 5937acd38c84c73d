"""Training an image-to-image generator in one stage: a plain teacher, or every subnet of the separable supernet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from gan_compress.pix2pix.pairs import get_pairs
from gan_compress.pix2pix.training.finish import synthetic_inputs
from gan_compress.pix2pix.training.recipe import TAKEN, TranslationRecipe
from gan_compress.pix2pix.training.samples import columns, draw_samples, psnr_db
from gan_compress.pix2pix.training.start import TranslationStart, read_start, take_over
from gan_compress.pix2pix.training.state import TranslationState, build_state, set_rates
from gan_compress.pix2pix.training.steps import TranslationSteps
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import UsageError
from nas.models import save_model
from nas.train.log import Log
from nas.train.objective import Losses, Objective, Setup
from nas.train.trainer import Trainer, TrainerOptions

HELD_OUT = 200
"""Validation pictures that sample pictures are taken from and PSNR is told of while training."""
CALIBRATION_IMAGES = 256
"""Inputs that subnets with batch norms recompute their statistics with, also in the model's folder."""


def train(
    recipe: TranslationRecipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train an image-to-image generator in one stage and return the model folder `folder`/model.

    Args:
        recipe: How it is trained.
        data: Pictures, of which the recipe's pairs are made.
        folder: Of the run.
        start: The folder of a teacher's run, or a generator's model; stage "compress" needs one. It is not read where
            a run is resumed.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: No start, no pairs, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """
    return Trainer(Path(folder), **options).run(
        lambda setup: TranslationObjective(recipe, data, start, setup)
    )


class TranslationObjective(Objective[TranslationRecipe, TranslationState]):
    """A generator beside a discriminator of patches, and in stage "compress" beside a frozen teacher."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "generator", "discriminator", "real", "fake", "pixel", "feature", "psnr_largest",
        "psnr_smallest", "images_per_s",
    )  # fmt: skip
    leading: ClassVar[tuple[str, ...]] = ("generator", "pixel")
    shown: ClassVar[tuple[str, ...]] = ("discriminator", "real", "fake", "pixel", "feature")
    rates: ClassVar[tuple[str, ...]] = ("lr", "discriminator_lr")

    def __init__(self, recipe: TranslationRecipe, data: Data, start: str | Path | None, setup: Setup) -> None:
        self.setup, checkpoint = setup, setup.checkpoint
        self._start = None if checkpoint is not None else _begin(recipe, start)
        if checkpoint is not None and recipe.has_teacher:
            # What was taken from the start is in the checkpoint's recipe.
            taken = {name: checkpoint.recipe[name] for name in TAKEN if name in checkpoint.recipe}
            recipe = TranslationRecipe.from_dict({**recipe.to_dict(), **taken}, "checkpoint")
        elif self._start is not None:
            recipe = self._start.adopt(recipe)
        if not recipe.pairs:
            raise UsageError("recipe: pairs is not set; set it, for example --set pairs=blur")
        self.recipe, self._data_name = recipe, data.name
        known = None if self._start is None else self._start.options
        self._teacher = known if checkpoint is None else checkpoint.about.get("teacher")
        self._pairs = get_pairs(recipe.pairs)
        self._real = real_images(data, recipe.resolution).to(setup.device)
        kept = real_images(data, recipe.resolution, "val", HELD_OUT).to(setup.device)
        self._held_out = kept.pixels.float() / 127.5 - 1
        count = len(self._real.labels)
        chosen = torch.linspace(0, count - 1, min(CALIBRATION_IMAGES, count)).long().to(setup.device)
        self._calibration = self._pairs(self._real.pixels[chosen].float() / 127.5 - 1)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"train": len(self._real.labels), "teacher": self._teacher}

    @property
    def about(self) -> Mapping[str, Any]:
        return {"data": self._data_name, "teacher": self._teacher}

    def build(self) -> TranslationState:
        state = build_state(self.recipe, self._teacher, self.setup.device)
        self._steps = TranslationSteps(self.recipe, state, self._real, self._pairs, self.setup.processes)
        return state

    def begin(self) -> None:
        if self._start is not None:
            take_over(self.state, self._start, self.recipe)

    def step(self) -> Losses:
        set_rates(self.state, self.recipe)
        return self._steps.step()

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        found = draw_samples(samples, self.state, self._held_out, self._calibration, self.recipe.pairs)
        told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        log.say(f"step {self.state.step}: PSNR in dB {told} on {len(self._held_out)} validation images")
        return {f"psnr_{name}": value for name, value in found.items()}

    def finish(self, folder: Path, log: Log) -> None:
        """Write the model, with synthetic inputs for batch norms' statistics; `val_psnr_db` is with real ones."""

        recipe, generator = self.recipe, self.state.generator()
        found = columns(self.state, self._held_out, self._calibration, recipe.pairs)
        info: dict[str, Any] = {
            "data": self._data_name, "pairs": recipe.pairs, "stage": recipe.stage, "steps": recipe.steps,
            "batch_size": recipe.batch_size, "seed": recipe.seed, "val_psnr_db": psnr_db(found),
        }  # fmt: skip
        inputs = None
        if recipe.norm == "batch":
            inputs = synthetic_inputs(recipe, generator, self._calibration, log)
        half = (0.5, 0.5, 0.5)
        save_model(
            folder, generator.cpu(), name=recipe.name, classes=(), mean=half, std=half, calibration=inputs,
            info=info,
        )  # fmt: skip


def _begin(recipe: TranslationRecipe, start: str | Path | None) -> TranslationStart | None:
    if recipe.has_teacher:
        if start is None:
            raise UsageError(
                "stage 'compress' needs a teacher; name the folder of its run or its model as start"
            )
        return read_start(start)
    if start is not None:
        raise UsageError("stage 'teacher' starts from nothing; leave start out")
    return None
