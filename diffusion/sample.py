"""Images of prompts and seeds. A seed's noise is the same in every batch, grid and pipeline of one latent shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.tokenizer import check_prompts
from nas._errors import NasError, UsageError

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How images are made: denoising steps, guidance (1 or less: none), what not to show, guidance rescaling."""

    steps: int = 25
    guidance: float = 4.0
    negative: str = ""
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is {self.steps}, expected at least 1; 25 is usual")
        if not np.isfinite(self.guidance):
            raise UsageError(f"guidance is {self.guidance}, expected a number such as 4")


def seed_latents(pipeline: Any, seeds: Sequence[int]) -> Tensor:
    """Return noise (seeds, channels, h, w) for the pipeline's UNet, each by its seed alone."""
    config = pipeline.unet.config
    size = config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = (config.in_channels, height, width)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def generate(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: Settings | None = None,
    *,
    latents: bool = False,
    batch: int = BATCH,
    advance: Callable[[int, int], object] | None = None,
) -> np.ndarray:
    """Return one image for each pair of a prompt and a seed: uint8 (n, h, w, 3), or the final latents (n, c, h, w).

    `advance(done, total)` is told after each batch. Raises `UsageError` for a prompt that is too long, too many steps
    or unequal lengths (prompts of an unconditional pipeline are ignored), and `NasError` when an image is not finite.
    """
    settings = settings or Settings()
    if len(prompts) != len(seeds):
        raise UsageError(f"{len(prompts)} prompts and {len(seeds)} seeds were given; give one seed for each")
    if is_conditional(pipeline):
        check_prompts(pipeline.tokenizer, list(dict.fromkeys([*prompts, settings.negative])))
    most = pipeline.scheduler.config.num_train_timesteps
    if settings.steps > most:
        raise UsageError(f"steps is {settings.steps}, but the pipeline was trained with {most}; take fewer")
    found = []
    for start in range(0, len(seeds), batch):
        part = slice(start, start + batch)
        found.append(_images(pipeline, list(prompts[part]), seeds[part], settings, latents))
        if advance is not None:
            advance(min(start + batch, len(seeds)), len(seeds))
    return np.concatenate(found)


def _images(
    pipeline: Any, prompts: list[str], seeds: Sequence[int], settings: Settings, latents: bool
) -> np.ndarray:
    start = seed_latents(pipeline, seeds).to(pipeline.unet.device, pipeline.unet.dtype)
    if is_conditional(pipeline):
        made = pipeline(
            prompts,
            # Not "": SDXL has an own kind of nothing.
            negative_prompt=[settings.negative] * len(prompts) if settings.negative else None,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            guidance_rescale=settings.rescale,
            latents=start,
            output_type="latent" if latents else "pt",
        ).images
    else:
        made = _denoise(pipeline, start, seeds, settings.steps)
        made = made if latents else (made / 2 + 0.5).clamp(0, 1)
    made = made.float().cpu()
    if not bool(made.isfinite().all()):
        wrong = [seed for seed, image in zip(seeds, made, strict=True) if not bool(image.isfinite().all())]
        raise NasError(
            f"the image of seed {wrong[0]} is not finite: the pipeline's weights are broken, or half precision "
            "overflows; fetch the weights again or run in float32"
        )
    if latents:
        return made.numpy()
    return (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def is_conditional(pipeline: Any) -> bool:
    """Whether images are made of prompts."""
    return getattr(pipeline, "tokenizer", None) is not None


def _denoise(pipeline: Any, x: Tensor, seeds: Sequence[int], steps: int) -> Tensor:
    """Return what an unconditional UNet and its scheduler make of noise."""
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(steps)
    # A generator a seed: what a stochastic scheduler draws is an image's own too.
    draws = [torch.Generator().manual_seed(seed + 1) for seed in seeds]
    stochastic = "generator" in inspect.signature(scheduler.step).parameters
    x = x * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        predicted = pipeline.unet(scheduler.scale_model_input(x, timestep), timestep).sample
        options = {"generator": draws} if stochastic else {}
        x = scheduler.step(predicted, timestep, x, **options).prev_sample
    return x
