"""Training a text-to-image pipeline from scratch on captioned images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from diffusion.pipeline.files.folder import find_pipeline, load_pipeline, weights_digest, write_pipeline
from diffusion.pipeline.inputs.captions import all_captions, caption_groups, plain_name
from diffusion.pipeline.parts.autoencoder import PatchAutoencoder, fit_patches
from diffusion.pipeline.parts.tokenizer import make_tokenizer
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from diffusion.training.images import pixel_batches, tokenized
from diffusion.training.text_to_image.networks import make_pipeline
from diffusion.training.text_to_image.recipe import PipelineRecipe
from diffusion.training.text_to_image.state import TEXT, UNET, PipelineState, build_state, take_over
from diffusion.training.text_to_image.steps import PipelineSteps
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.pictures import grid, write_png
from nas.train.log import Log
from nas.train.objective import Losses, Objective, Setup
from nas.train.precision import autocast
from nas.train.trainer import Trainer, TrainerOptions

_MOST_ROWS, _COLUMNS = 16, 8  # of sample pictures: captions, and seeds of each


def train(
    recipe: PipelineRecipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    described: bool = False,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train a text-to-image pipeline and return its folder `folder`/model, which diffusers loads.

    Args:
        recipe: How it is trained.
        data: Images whose classes become captions by templates.
        folder: Of the run.
        start: A pipeline of an earlier run of the same shapes and captions whose weights are gone on from, as
            `load_pipeline` takes it. It is not read where a run is resumed.
        described: Whether the classes are captions already, as those of `open_captioned`.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: A start of other shapes or words, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """
    return Trainer(Path(folder), **options).run(
        lambda setup: PipelineObjective(recipe, data, start, described, setup)
    )


class PipelineObjective(Objective[PipelineRecipe, PipelineState]):
    """A UNet and a text encoder that predict v; the autoencoder is fitted before the first step."""

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "v", "images_per_s")
    shown: ClassVar[tuple[str, ...]] = ("v",)

    def __init__(
        self, recipe: PipelineRecipe, data: Data, start: str | Path | None, described: bool, setup: Setup
    ) -> None:
        self.recipe, self.setup = recipe, setup
        self._autocast = autocast(recipe.precision, setup.device)
        checkpoint = setup.checkpoint
        self._begin = None if start is None or checkpoint is not None else load_pipeline(start)
        self._start = "" if self._begin is None else weights_digest(find_pipeline(str(start)))
        if checkpoint is not None:
            self._start = str(checkpoint.about.get("start", ""))
        self._data_name = plain_name(data.name)
        self._groups = caption_groups(data, described)
        self._tokenizer = make_tokenizer(all_captions(self._groups), recipe.tokens)
        self._real = real_images(data, recipe.resolution)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"captions": self._groups, "train": len(self._real.labels), "start": self._start}

    @property
    def about(self) -> Mapping[str, Any]:
        captions = [list(group) for group in self._groups]
        return {"data": self._data_name, "captions": captions, "start": self._start}

    def build(self) -> PipelineState:
        device = self.setup.device
        state = build_state(self.recipe, self._tokenizer, self._autoencoder(), device)
        data = tokenized(self._real, self._groups, self._tokenizer, device)
        self._steps = PipelineSteps(self.recipe, state, data, self.setup.processes)
        return state

    def _autoencoder(self) -> PatchAutoencoder:
        """Return the autoencoder, fitted to the training images, or of noise for a checkpoint to replace."""
        recipe = self.recipe
        noise = [torch.randn(64, 3, recipe.resolution, recipe.resolution)]
        batches = pixel_batches(self._real) if self.setup.checkpoint is None else noise
        return fit_patches(
            batches, patch=recipe.patch, latent_channels=recipe.latent_channels, whiten=recipe.whiten,
            size=recipe.resolution,
        )  # fmt: skip

    def begin(self) -> None:
        if self._begin is not None:
            take_over(self.state, self._begin, self._tokenizer)

    def step(self) -> Losses:
        return self._steps.take()

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        """Write images of the first caption of up to 16 groups, 8 seeds each."""
        prompts = [group[0] for group in self._groups[:_MOST_ROWS] for _ in range(_COLUMNS)]
        settings = SamplingSettings(steps=self.recipe.sample_steps, guidance=self.recipe.guidance)
        pictures = generate(self._averaged(), prompts, range(len(prompts)), settings)
        write_png(samples, grid(pictures, _COLUMNS))
        return {}

    def _averaged(self) -> Any:
        """Return the pipeline of the averaged weights; it shares them with the state."""
        state, parts = self.state, self.state.averaged
        return make_pipeline(self.recipe, state.autoencoder, self._tokenizer, parts[TEXT], parts[UNET])  # pyright: ignore[reportArgumentType]

    def finish(self, folder: Path, log: Log) -> None:
        """Write the averaged weights as a pipeline folder."""
        recipe, state = self.recipe, self.state
        info = {
            "name": recipe.name,
            "data": self._data_name,
            "steps": state.step,
            "batch_size": recipe.batch_size,
            "guidance": recipe.guidance,
            "prompts": [group[0] for group in self._groups[:1000]],
        }
        write_pipeline(folder, self._averaged().to("cpu"), info)
