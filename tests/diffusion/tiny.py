"""A tiny pipeline of random weights: a UNet of two stages at 8 × 8 latents, CLIP's text encoder, an autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.files import write_json

UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": [16, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 16,
    "attention_head_dim": [2, 4],
    "norm_num_groups": 4,
}
TEXT: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "latent_channels": 4,
    "norm_num_groups": 4,
}
SCHEDULER: dict[str, Any] = {"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 1}


def options(**changed: Any) -> dict[str, Any]:
    """Return the options of the family of this pipeline."""
    own = {
        "unet": {"config": UNET, "tokens": 8, "depth": [1]},
        "text_encoder": TEXT,
        "vae": VAE,
        "scheduler": SCHEDULER,
        "steps": [1, 2, 3],
        "guided": [0.0, 0.5, 1.0],
        "reuse": [2, 1],
        "scale": 2.0,
    }
    return {**own, **changed}


def make_pipeline(seed: int = 0) -> Any:
    """Return a `StableDiffusionPipeline` with random weights."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel

    from diffusion.pipeline.parts.tokenizer import make_tokenizer

    torch.manual_seed(seed)
    tokenizer = make_tokenizer(["a photo of a ship", "a photo of a cat"], TEXT["max_position_embeddings"])
    # Typed as Any: diffusers' annotations of `from_config` and of what may be None are too narrow.
    parts: dict[str, Any] = {
        "vae": AutoencoderKL.from_config(VAE),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**{**TEXT, "vocab_size": len(tokenizer)})),
        "tokenizer": tokenizer,
        "unet": UNet2DConditionModel.from_config(UNET),
        "scheduler": DDIMScheduler.from_config(SCHEDULER),
        "safety_checker": None,
        "feature_extractor": None,
    }
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def write_pipeline(folder: Path, notes: dict[str, Any] | None = None) -> Path:
    """Save a tiny pipeline with what anyfit knows of it; return its folder."""
    make_pipeline().save_pretrained(folder, safe_serialization=True)
    known = {"space": {"steps": [1, 2, 4], "unet": {"depth": [1]}}, "guidance": 2.0}
    write_json(folder / "anyfit.json", known if notes is None else notes)
    return folder


def as_bins(folder: Path) -> Path:
    """Turn all weights of a pipeline's folder into torch's `.bin` files, as older pipelines have them; return it."""
    import torch
    from safetensors.torch import load_file

    for file in folder.glob("*/*.safetensors"):
        name = file.name if file.name.startswith("diffusion_") else f"pytorch_{file.name}"
        torch.save(load_file(file), file.with_name(name).with_suffix(".bin"))
        file.unlink()
    return folder
