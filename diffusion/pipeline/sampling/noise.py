"""The noise of a scheduler: noisy latents, what is to be predicted, and how errors are weighted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.errors import UsageError


class Noise:
    """The noise at each timestep: noisy latents, the target of the prediction, and the weights of its error.

    Args:
        scheduler: of diffusers, trained to predict the noise or v.
        snr_gamma, snr_offset: of the weights, see `loss_weights`; a gamma of 0 weighs all timesteps alike.

    Attributes:
        weights: by timestep, float32.
    """

    def __init__(
        self, scheduler: Any, device: torch.device, *, snr_gamma: float = 5.0, snr_offset: float = 1.0
    ) -> None:
        self._kind = scheduler.config.prediction_type
        if self._kind not in ("v_prediction", "epsilon"):
            raise UsageError(
                f"the scheduler's prediction is {self._kind!r}, trained are 'v_prediction' and 'epsilon'; give another "
                "pipeline"
            )
        alphas = scheduler.alphas_cumprod.double()
        self.signal = alphas.sqrt().float().to(device)
        self.level = (1 - alphas).sqrt().float().to(device)
        weights = loss_weights(alphas, snr_gamma, snr_offset)
        if self._kind == "epsilon" and snr_gamma:
            weights = epsilon_weights(alphas, snr_gamma)
        self.weights = weights.to(device)

    def at(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy latents and the target: the noise, or v = signal × noise - level × latents.

        v is that of Salimans & Ho 2022, "Progressive distillation for fast sampling of diffusion models".
        """
        signal, level = (each[timesteps].view(-1, 1, 1, 1) for each in (self.signal, self.level))
        noisy = signal * latents + level * noise
        return noisy, noise if self._kind == "epsilon" else signal * noise - level * latents


def loss_weights(alphas_cumprod: Tensor, gamma: float, offset: float) -> Tensor:
    """Return the weights by timestep of the squared error of v: min(SNR + offset, gamma) / (SNR + 1)."""
    if not gamma:
        return torch.ones_like(alphas_cumprod).float()
    # Written in alphas, not in SNR = alpha / (1 - alpha): nothing is divided by zero at either end.
    shifted = alphas_cumprod + offset * (1 - alphas_cumprod)
    return torch.minimum(shifted, gamma * (1 - alphas_cumprod)).float()


def epsilon_weights(alphas_cumprod: Tensor, gamma: float) -> Tensor:
    """Return the weights by timestep of the squared error of the noise: min(SNR, gamma) / SNR."""
    return (gamma * (1 - alphas_cumprod) / alphas_cumprod.clamp(min=1e-12)).clamp(max=1).float()


def draw_timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Return timesteps (count,) spread evenly over all with one random shift, in random order."""
    places = (torch.arange(count) + torch.rand(1, generator=generator)) / count
    shuffled = places[torch.randperm(count, generator=generator)]
    return (shuffled * steps).long().clamp(max=steps - 1)
