"""One step of diffusion training: noise the latents, predict v, weigh the error."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.pipeline.sampling.noise import draw_timesteps
from diffusion.training.images import Captioned, step_generator
from diffusion.training.step import NOISE, noise_of, take_step
from diffusion.training.text_to_image.networks import make_scheduler
from diffusion.training.text_to_image.recipe import PipelineRecipe
from diffusion.training.text_to_image.state import TEXT, UNET, PipelineState
from nas.train.objective import Losses
from nas.train.precision import autocast
from nas.train.processes import Processes


class PipelineSteps:
    """The training steps of a state; each of several processes takes its share of every batch."""

    def __init__(
        self,
        recipe: PipelineRecipe,
        state: PipelineState,
        data: Captioned,
        processes: Processes | None = None,
    ) -> None:
        self._recipe, self._state, self._data = recipe, state, data
        self._processes = processes or Processes(0, 1, state.device)
        self._share = self._processes.shard(recipe.batch_size)
        self._noise = noise_of(recipe, make_scheduler(recipe), state.device)
        self._autocast = autocast(recipe.precision, state.device)

    def take(self) -> Losses:
        """Take one step."""
        return take_step(self._recipe, self._state, self._processes, self._backward)

    def _backward(self) -> Losses:
        loss, raw = self._loss()
        loss.backward()
        return {"loss": loss.detach(), "v": raw.detach()}

    def _loss(self) -> tuple[Tensor, Tensor]:
        """Return the weighted and the plain mean squared error of v."""
        recipe, state, noise, share = self._recipe, self._state, self._noise, self._share
        size, device = recipe.batch_size, state.device
        images, tokens = self._data.batch(
            recipe.seed, state.step, size, flip=recipe.flip, drop=recipe.drop_caption, share=share
        )
        latents = state.autoencoder.encoder(images)
        generator = step_generator(recipe.seed, state.step, NOISE)
        timesteps = draw_timesteps(size, len(noise.weights), generator)[share].to(device)
        drawn = torch.randn((size, *latents.shape[1:]), generator=generator)[share].to(device)
        noisy, target = noise.at(latents, drawn, timesteps)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            words = state.parts[TEXT](tokens).last_hidden_state
            predicted = state.parts[UNET](noisy, timesteps, words, return_dict=False)[0]
        errors = (predicted.float() - target).square().mean((1, 2, 3))
        return (noise.weights[timesteps] * errors).mean(), errors.mean()
