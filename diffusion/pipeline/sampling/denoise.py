"""The sampler in torch: a scheduler's steps from noise to images or latents, whatever predicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Predict = Callable[[int, Tensor, Tensor], Tensor]
"""Predicts at a step, of the scaled latents (batch, channels, height, width) and the step's time."""


def denoise(
    scheduler: Any, noise: Tensor, predict: Predict, draws: Sequence[torch.Generator] | None = None
) -> Tensor:
    """Return what a scheduler of diffusers, set to its steps, makes of noise (batch, channels, height, width).

    A stochastic scheduler draws each image's noise from its own of the `draws`, where there are any.
    """
    stochastic = draws is not None and "generator" in inspect.signature(scheduler.step).parameters
    options = {"generator": draws} if stochastic else {}
    x = noise * scheduler.init_noise_sigma
    for index, time in enumerate(scheduler.timesteps):
        predicted = predict(index, scheduler.scale_model_input(x, time), time)
        x = scheduler.step(predicted, time, x, return_dict=False, **options)[0]
    return x


def guide(predicted: Tensor, scale: float) -> Tensor:
    """Return the guided prediction (Ho & Salimans 2022) of one without the prompt and, behind it, one with it."""
    without, with_prompt = predicted.chunk(2)
    return without + scale * (with_prompt - without)
