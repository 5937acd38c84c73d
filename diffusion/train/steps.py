"""One step of diffusion training: noise the latents, predict v, weigh the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.train.images import Captioned, step_generator
from diffusion.train.networks import make_scheduler
from diffusion.train.noise import Noise, draw_timesteps
from diffusion.train.recipe import Recipe
from diffusion.train.schedule import Schedule
from diffusion.train.state import TEXT, UNET, State, ema_beta, rate
from nas.train._group import Group
from nas.train.loop import Losses

NOISE = 1
"""The purpose of the generator that draws timesteps and noise."""


def takes_bf16(schedule: Schedule, device: torch.device) -> bool:
    """Whether networks run in bf16."""
    return schedule.precision == "bf16" or (schedule.precision == "auto" and device.type == "cuda")


def take_step(schedule: Schedule, state: Any, group: Group, backward: Callable[[], Losses]) -> Losses:
    """Take one step of `state` and count it; `backward` adds the gradients of this process's share of the batch."""
    for each in state.optimizer.param_groups:
        each["lr"] = rate(schedule, state.step)
    state.optimizer.zero_grad(set_to_none=True)
    losses = backward()
    weights = [weight for network in state.trained() for weight in network.parameters()]
    group.average([weight.grad for weight in weights if weight.grad is not None])
    if schedule.grad_clip:
        nn.utils.clip_grad_norm_(weights, schedule.grad_clip)
    state.optimizer.step()
    state.step += 1
    state.average(ema_beta(schedule, state.step))
    return losses


class Steps:
    """The training steps of a state; of the processes in `group` each takes its share of every batch."""

    def __init__(self, recipe: Recipe, state: State, data: Captioned, group: Group | None = None) -> None:
        self._recipe, self._state, self._data = recipe, state, data
        self._group = group or Group(0, 1, state.device)
        self._share = self._group.share(recipe.batch_size)
        self._noise = Noise(make_scheduler(recipe), recipe, state.device)
        self._bf16 = takes_bf16(recipe, state.device)

    def take(self) -> Losses:
        """Take one step and count it."""
        return take_step(self._recipe, self._state, self._group, self._backward)

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
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._bf16):
            words = state.networks[TEXT](tokens).last_hidden_state
            predicted = state.networks[UNET](noisy, timesteps, words, return_dict=False)[0]
        errors = (predicted.float() - target).square().mean((1, 2, 3))
        return (noise.weights[timesteps] * errors).mean(), errors.mean()
