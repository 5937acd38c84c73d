"""One step of any training of a denoiser: the rate, the update, the moving average; and the noise of its recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from diffusion.pipeline.sampling.noise import Noise
from diffusion.training.schedule import Schedule
from nas.train import schedules
from nas.train.objective import Losses, update
from nas.train.processes import Processes

NOISE = 1
"""The purpose of the generator that draws timesteps and noise."""


def take_step(schedule: Schedule, state: Any, processes: Processes, backward: Callable[[], Losses]) -> Losses:
    """Take one step of `state`; `backward` adds the gradients of this process's share of the batch."""
    rate = schedules.constant_then_cosine(
        state.step, peak=schedule.lr, steps=schedule.steps, warmup=schedule.warmup_steps,
        cooldown_start=schedule.cooldown_start,
    )  # fmt: skip
    schedules.set_rate(state.optimizer, rate)
    state.optimizer.zero_grad(set_to_none=True)
    losses = backward()
    (network,) = state.trained()
    update(state.optimizer, network.parameters(), processes, schedule.grad_clip)
    state.ema.update(network, schedules.ema_by_steps(schedule.ema_decay, state.step + 1))
    return losses


def noise_of(schedule: Schedule, scheduler: Any, device: torch.device) -> Noise:
    """Return the noise of a scheduler, its errors weighted as the recipe says."""
    return Noise(scheduler, device, snr_gamma=schedule.snr_gamma, snr_offset=schedule.snr_offset)
