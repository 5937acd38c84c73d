"""One step of diffusion training: noise the latents, predict v, weigh the error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffusion.train.images import Captioned, step_generator
from diffusion.train.networks import make_scheduler
from diffusion.train.recipe import Recipe
from diffusion.train.state import TEXT, UNET, State, ema_beta, rate
from nas.train.loop import Losses

_NOISE = 1


class Noise:
    """The schedule of the noise: latents at timesteps, the target v, and the weights of its error."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        alphas = make_scheduler(recipe).alphas_cumprod.double()
        self.signal = alphas.sqrt().float().to(device)
        self.noise = (1 - alphas).sqrt().float().to(device)
        self.weights = loss_weights(alphas, recipe.snr_gamma, recipe.snr_offset).to(device)

    def at(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy latents and the target v = signal × noise - noise level × latents (Salimans & Ho 2022)."""
        signal, level = (each[timesteps].view(-1, 1, 1, 1) for each in (self.signal, self.noise))
        return signal * latents + level * noise, signal * noise - level * latents


def loss_weights(alphas_cumprod: Tensor, gamma: float, offset: float) -> Tensor:
    """Return the weights by timestep of the squared error of v: min(SNR + offset, gamma) / (SNR + 1)."""
    if not gamma:
        return torch.ones_like(alphas_cumprod).float()
    # Written in alphas, not in SNR = alpha / (1 - alpha): nothing is divided by zero at either end.
    shifted = alphas_cumprod + offset * (1 - alphas_cumprod)
    return torch.minimum(shifted, gamma * (1 - alphas_cumprod)).float()


def draw_timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Return timesteps (count,) spread evenly over all with one random shift, in random order."""
    places = (torch.arange(count) + torch.rand(1, generator=generator)) / count
    shuffled = places[torch.randperm(count, generator=generator)]
    return (shuffled * steps).long().clamp(max=steps - 1)


class Steps:
    """The training steps of a state."""

    def __init__(self, recipe: Recipe, state: State, data: Captioned) -> None:
        self._recipe, self._state, self._data = recipe, state, data
        self._noise = Noise(recipe, state.device)
        cuda = state.device.type == "cuda"
        self._bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and cuda)

    def take(self) -> Losses:
        """Take one step and count it."""
        recipe, state = self._recipe, self._state
        for group in state.optimizer.param_groups:
            group["lr"] = rate(recipe, state.step)
        state.optimizer.zero_grad(set_to_none=True)
        loss, raw = self._loss()
        loss.backward()
        if recipe.grad_clip:
            nn.utils.clip_grad_norm_(state.networks.parameters(), recipe.grad_clip)
        state.optimizer.step()
        state.step += 1
        state.average(ema_beta(recipe, state.step))
        return {"loss": loss.detach(), "v": raw.detach()}

    def _loss(self) -> tuple[Tensor, Tensor]:
        """Return the weighted and the plain mean squared error of v."""
        recipe, state, noise = self._recipe, self._state, self._noise
        size, device = recipe.batch_size, state.device
        images, tokens = self._data.batch(
            recipe.seed, state.step, size, flip=recipe.flip, drop=recipe.drop_caption
        )
        latents = state.autoencoder.encoder(images)
        generator = step_generator(recipe.seed, state.step, _NOISE)
        timesteps = draw_timesteps(size, len(noise.weights), generator).to(device)
        drawn = torch.randn(latents.shape, generator=generator).to(device)
        noisy, target = noise.at(latents, drawn, timesteps)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._bf16):
            words = state.networks[TEXT](tokens).last_hidden_state
            predicted = state.networks[UNET](noisy, timesteps, words, return_dict=False)[0]
        errors = (predicted.float() - target).square().mean((1, 2, 3))
        return (noise.weights[timesteps] * errors).mean(), errors.mean()
