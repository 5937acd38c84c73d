"""What a step of distillation learns from: noisy latents with captions, and what the frozen original makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.pipeline.sampling.noise import draw_timesteps
from diffusion.training.distil.features import stage_features
from diffusion.training.distil.recipe import DistillationRecipe
from diffusion.training.images import Captioned, step_generator
from diffusion.training.step import NOISE, noise_of
from nas.compress.distil import feature_error, feature_sizes, output_error
from nas.train.precision import autocast
from nas.train.processes import Processes


@dataclass(frozen=True)
class DistillationBatch:
    """A batch and the original's answer.

    Attributes:
        inputs: of the UNet.
        target: what the data ask for, `wanted` what the original predicts, both (batch, c, h, w).
        weights: of the errors, (batch,).
        truth: the original's features after each stage, `sizes` their mean squares over the whole batch.
    """

    inputs: dict[str, Tensor]
    target: Tensor
    weights: Tensor
    wanted: Tensor
    truth: dict[str, Tensor]
    sizes: dict[str, Tensor]


@dataclass(frozen=True)
class Errors:
    """A network's weighted loss, and its parts against the original's output and features."""

    loss: Tensor
    output: Tensor
    feature: Tensor


class Distiller:
    """Makes the batch of a step: a function of the recipe's seed and the step."""

    def __init__(
        self,
        recipe: DistillationRecipe,
        teacher: nn.Module,
        pipeline: Any,
        data: Captioned,
        processes: Processes,
    ) -> None:
        self._recipe, self._teacher, self._data, self._processes = recipe, teacher, data, processes
        self._vae, self._text = pipeline.vae, pipeline.text_encoder
        self._noise = noise_of(recipe, pipeline.scheduler, processes.device)
        self._autocast = autocast(recipe.precision, processes.device)
        self._share = processes.shard(recipe.batch_size)

    def batch(self, step: int) -> DistillationBatch:
        """Return this process's share of the batch of `step`."""
        inputs, target, weights = self._inputs(step)
        with torch.no_grad(), stage_features(self._teacher) as truth, self._autocast():
            wanted = self._teacher(**inputs).float()
        with torch.no_grad():
            sizes = feature_sizes(truth)
        if self._processes.size > 1:
            sizes = {name: size.float() for name, size in sizes.items()}
            self._processes.average(sizes.values())
        return DistillationBatch(inputs, target, weights, wanted, truth, sizes)

    def errors(self, batch: DistillationBatch, network: nn.Module) -> Errors:
        """Run a network on the batch and compare it with the data and the original."""
        recipe, weights = self._recipe, batch.weights
        with stage_features(network) as features, self._autocast():
            predicted = network(**batch.inputs).float()
        task, output = (output_error(predicted, each, weights) for each in (batch.target, batch.wanted))
        feature = feature_error(features, batch.truth, batch.sizes)
        loss = recipe.task_weight * task + recipe.output_weight * output + recipe.feature_weight * feature
        return Errors(loss, output, feature)

    def importance_examples(self, count: int = 12) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield inputs and targets of training images, a batch of one timestep each, from little noise to all noise."""
        for step, timestep in enumerate(torch.linspace(0, len(self._noise.weights) - 1, count).long()):
            inputs, target, _ = self._inputs(step, timestep)
            yield inputs, target

    def _inputs(self, step: int, timestep: Tensor | None = None) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the UNet's inputs, the target from the data, and the weights of the errors (batch,)."""
        recipe, noise, share = self._recipe, self._noise, self._share
        size, device = recipe.batch_size, self._processes.device
        images, tokens = self._data.batch(
            recipe.seed, step, size, flip=recipe.flip, drop=recipe.drop_caption, share=share
        )
        generator = step_generator(recipe.seed, step, NOISE)
        with torch.no_grad():
            latents = self._vae.encode(images).latent_dist.mode() * self._vae.config.scaling_factor
            words = self._text(tokens)[0]
        timesteps = draw_timesteps(size, len(noise.weights), generator)[share].to(device)
        if timestep is not None:
            timesteps = timestep.to(device).expand(len(latents))
        drawn = torch.randn((size, *latents.shape[1:]), generator=generator)[share].to(device)
        noisy, target = noise.at(latents, drawn, timesteps)
        inputs = {
            "sample": noisy.contiguous(memory_format=torch.channels_last),
            "timestep": timesteps.float(),
            "encoder_hidden_states": words,
        }
        return inputs, target, noise.weights[timesteps]
