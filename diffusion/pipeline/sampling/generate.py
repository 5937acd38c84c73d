"""Images of prompts and seeds. A seed's noise is the same in every batch, grid and pipeline of one latent shape.

A prompt is a text, for a pipeline of classes the name or number of one, and nothing for an unconditional one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.pipeline.files.memory import in_batches
from diffusion.pipeline.inputs.prompts import find_label
from diffusion.pipeline.parts.kinds import KINDS
from diffusion.pipeline.parts.tokenizer import check_prompts
from diffusion.pipeline.sampling.denoise import Predict, denoise, guide
from nas.errors import NasError, UsageError

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
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
    """Return noise (seeds, channels, h, w) for the pipeline's denoiser, each by its seed alone."""
    config = denoiser_of(pipeline).config
    size = config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = (config.in_channels, height, width)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def generate(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings | None = None,
    *,
    latents: bool = False,
    batch: int = BATCH,
    advance: Callable[[int, int], object] | None = None,
) -> np.ndarray:
    """Return one image for each pair of a prompt and a seed: uint8 (n, h, w, 3), or the final latents (n, c, h, w).

    `advance(done, total)` is told after each batch; where memory runs out, batches are halved. Raises `UsageError` for
    a prompt that is too long, a class that there is not, too many steps, unequal lengths (prompts of an unconditional
    pipeline are ignored) or settings that the pipeline has not, and `NasError` when an image is not finite or one alone
    does not fit into memory.
    """
    settings = settings or SamplingSettings()
    if len(prompts) != len(seeds):
        raise UsageError(f"{len(prompts)} prompts and {len(seeds)} seeds were given; give one seed for each")
    _check(pipeline, prompts, settings)
    most = pipeline.scheduler.config.num_train_timesteps
    if settings.steps > most:
        raise UsageError(f"steps is {settings.steps}, but the pipeline was trained with {most}; take fewer")

    def make(start: int, stop: int) -> np.ndarray:
        made = _images(pipeline, list(prompts[start:stop]), seeds[start:stop], settings, latents)
        if advance is not None:
            advance(stop, len(seeds))
        return made

    return np.concatenate(in_batches(make, len(seeds), batch, _size(pipeline)))


def _check(pipeline: Any, prompts: Sequence[str], settings: SamplingSettings) -> None:
    asked = list(dict.fromkeys([*prompts, settings.negative]))
    for tokenizer in _tokenizers(pipeline):
        check_prompts(tokenizer, asked, longest=_longest(pipeline))
    if not is_conditional(pipeline) and settings.negative:
        raise UsageError("a negative prompt is given, but the pipeline takes no texts; leave it out")
    if settings.rescale and not hasattr(pipeline, "unet"):
        raise UsageError("guidance rescaling is given, but only pipelines with a UNet have it; leave it out")


def _longest(pipeline: Any) -> int | None:
    kind = KINDS.get(type(pipeline).__name__)
    return kind.tokens if kind else None


def _size(pipeline: Any) -> str:
    height, width = seed_latents(pipeline, [0]).shape[-2:]
    edge = 2 ** (len(pipeline.vae.config.block_out_channels) - 1) if getattr(pipeline, "vae", None) else 1
    return f"{width * edge} × {height * edge} pixels"


def _images(
    pipeline: Any, prompts: list[str], seeds: Sequence[int], settings: SamplingSettings, latents: bool
) -> np.ndarray:
    denoiser = denoiser_of(pipeline)
    start = seed_latents(pipeline, seeds).to(denoiser.device, denoiser.dtype)
    if is_conditional(pipeline):
        made = _by_texts(pipeline, prompts, start, settings, latents)
    else:
        pipeline.scheduler.set_timesteps(settings.steps)
        # A generator a seed: what a stochastic scheduler draws is an image's own too.
        draws = [torch.Generator().manual_seed(seed + 1) for seed in seeds]
        made = denoise(pipeline.scheduler, start, _predictor(pipeline, prompts, settings), draws)
        if not latents and getattr(pipeline, "vae", None) is not None:
            made = pipeline.vae.decode(made / pipeline.vae.config.scaling_factor).sample
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


def denoiser_of(pipeline: Any) -> Any:
    """Return a pipeline's UNet or transformer."""
    return pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer


def is_conditional(pipeline: Any) -> bool:
    """Whether images are made of texts."""
    return getattr(pipeline, "tokenizer", None) is not None


def takes_classes(pipeline: Any) -> bool:
    """Whether images are made of classes."""
    return hasattr(pipeline, "labels")


def is_guided(pipeline: Any) -> bool:
    """Whether guidance can strengthen what images are made of."""
    return is_conditional(pipeline) or takes_classes(pipeline)


def _tokenizers(pipeline: Any) -> list[Any]:
    found = [getattr(pipeline, name, None) for name in ("tokenizer", "tokenizer_2")]
    return [tokenizer for tokenizer in found if tokenizer is not None]


def _by_texts(
    pipeline: Any, prompts: list[str], start: Tensor, settings: SamplingSettings, latents: bool
) -> Tensor:
    negative = [settings.negative] * len(prompts)
    if hasattr(pipeline, "unet"):
        # Not "": SDXL has an own kind of nothing.
        how = {
            "negative_prompt": negative if settings.negative else None,
            "guidance_rescale": settings.rescale,
        }
    else:
        # As the original's size is taken, there is nothing to bin; cleaning asks for libraries that may be missing.
        how = {"negative_prompt": negative, "use_resolution_binning": False, "clean_caption": False}
    return pipeline(
        prompts,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        latents=start,
        output_type="latent" if latents else "pt",
        **how,
    ).images


def _predictor(pipeline: Any, prompts: Sequence[str], settings: SamplingSettings) -> Predict:
    """Return the prediction of an unconditional UNet, or of a transformer of classes with its guidance."""
    denoiser = denoiser_of(pipeline)
    if not takes_classes(pipeline):
        return lambda _, x, time: denoiser(x, time).sample
    null = int(denoiser.config.num_embeds_ada_norm)
    labels = torch.tensor([find_label(pipeline.labels, null, prompt) for prompt in prompts])
    is_guided = settings.guidance > 1

    def predict(_: int, x: Tensor, time: Tensor) -> Tensor:
        told = torch.cat([torch.full_like(labels, null), labels]) if is_guided else labels
        both = torch.cat([x, x]) if is_guided else x
        out = denoiser(
            both, timestep=time.expand(len(both)).to(x.device), class_labels=told.to(x.device)
        ).sample
        out = out[:, : x.shape[1]]  # a variance that is predicted too is not needed
        return guide(out, settings.guidance) if is_guided else out

    return predict
