"""A tiny recipe, its data and its untrained pipeline: 16 pixels, two classes, UNet of 8 and 16 channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffusion.pipeline.files.folder import write_pipeline
from diffusion.pipeline.inputs.captions import all_captions, class_captions, class_prompt
from diffusion.pipeline.parts.autoencoder import fit_patches
from diffusion.pipeline.parts.tokenizer import make_tokenizer
from diffusion.training.text_to_image.networks import make_pipeline, make_text_encoder, make_unet
from diffusion.training.text_to_image.recipe import PipelineRecipe

CLASSES = ("dark", "bright")


def tiny_recipe(**changes: Any) -> PipelineRecipe:
    """Return a recipe of a few quick steps."""
    recipe = PipelineRecipe(
        name="tiny", resolution=16, latent_channels=8, width=8, head_channels=4, groups=4, text_width=8, text_layers=1,
        text_heads=2, tokens=12, steps=6, batch_size=4, warmup_steps=2, ema_decay=0.9, sample_steps=1,
        checkpoint_steps=2, sample_every=6, log_every=2,
    )  # fmt: skip
    return recipe.replaced(**changes)


def tiny_images(count: int = 16, size: int = 16) -> torch.Tensor:
    """Return smooth pictures (count, 3, size, size), -1 to 1."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)


def tiny_pipeline(recipe: PipelineRecipe | None = None, seed: int = 0) -> Any:
    """Return an untrained pipeline of dark and bright pictures."""
    recipe = recipe or tiny_recipe()
    tokenizer = make_tokenizer(all_captions([class_captions(name) for name in CLASSES]), recipe.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, encoder = make_unet(recipe), make_text_encoder(recipe, tokenizer)
    vae = fit_patches(
        [tiny_images(size=recipe.resolution)], latent_channels=recipe.latent_channels, size=recipe.resolution
    )
    return make_pipeline(recipe, vae, tokenizer, encoder, unet)


def write_tiny(path: Path, seed: int = 0) -> Path:
    """Write the untrained pipeline's folder."""
    write_pipeline(
        path,
        tiny_pipeline(seed=seed),
        {"name": "tiny", "prompts": [class_prompt(name) for name in CLASSES], "guidance": 3.0},
    )
    return path


def write_pictures(folder: Path, count: int = 10) -> Path:
    """Write class folders of dark and bright pictures."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.normal(70 + 115 * index, 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
