"""Images with captions as a trained pipeline takes them: of its size, tokenized by its tokenizer."""

from __future__ import annotations

from typing import Any

import torch

from diffusion.pipeline.inputs.captions import caption_groups
from diffusion.pipeline.parts.tokenizer import check_prompts
from diffusion.training.images import Captioned, tokenized
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import UsageError


def captioned_images(pipeline: Any, data: Data, described: bool) -> tuple[Captioned, list[tuple[str, ...]]]:
    """Return the data's training images on the pipeline's device, and the captions of each of its classes.

    Raises `UsageError` for captions that are too long and for a pipeline whose images are not square.
    """
    groups = caption_groups(data, described)
    check_prompts(pipeline.tokenizer, [text for group in groups for text in group])
    size = pipeline.unet.config.sample_size
    if not isinstance(size, int):
        raise UsageError(f"the pipeline makes latents of {size[0]} × {size[1]}; only square ones are trained")
    real = real_images(data, size * pipeline.vae_scale_factor)
    device = torch.device(pipeline.unet.device)
    return tokenized(real, groups, pipeline.tokenizer, device), groups
