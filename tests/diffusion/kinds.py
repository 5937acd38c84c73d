"""Tiny pipelines of random weights of every kind that is taken whole, and how plain diffusers samples them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from nas.files import read_json, write_json
from tests.conformance import diffusion as networks
from tests.diffusion.tiny import SCHEDULER, TEXT, VAE, make_pipeline

INDEX = "model_index.json"
library: Any = diffusers

SDXL_UNET: dict[str, Any] = {
    **networks.SDXL,
    "transformer_layers_per_block": [1, 1],
    "cross_attention_dim": 16 + 8,
    "projection_class_embeddings_input_dim": 12 + 6 * 4,
}
TEXT_XL: dict[str, Any] = {**TEXT, "num_hidden_layers": 2, "hidden_act": "quick_gelu", "eos_token_id": 1}
TEXT_XL_2: dict[str, Any] = {
    **TEXT_XL, "architectures": ["CLIPTextModelWithProjection"], "hidden_size": 8, "projection_dim": 12,
    "hidden_act": "gelu",
}  # fmt: skip
UNCONDITIONAL: dict[str, Any] = {**networks.UNCONDITIONAL, "layers_per_block": 1}
DIT: dict[str, Any] = {**networks.DIT, "num_layers": 2, "num_embeds_ada_norm": 1000}
"""Plain diffusers takes class 1000 for none."""
PIXART: dict[str, Any] = {
    **networks.PIXART, "num_layers": 2, "caption_channels": 10, "use_additional_conditions": False,
}  # fmt: skip
PIXART_SIZES: dict[str, Any] = {
    **PIXART, "num_layers": 1, "sample_size": 128, "patch_size": 16, "use_additional_conditions": True,
}  # fmt: skip
"""Plain diffusers tells the size of images of 128 latents only."""
T5: dict[str, Any] = {
    "architectures": ["T5EncoderModel"], "vocab_size": 40, "d_model": 10, "d_kv": 4, "d_ff": 12, "num_layers": 2,
    "num_heads": 2, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
WORDS = ("a", "photo", "of", "ship", "cat", "red", "apple", "on", "small", "house", "black")


def make_t5_tokenizer(length: int = 8) -> Any:
    """Return a tokenizer of a few words, as T5's: the end is marked, what is left is padded."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    words = [(f"▁{word}", -1.0) for word in WORDS]
    return T5Tokenizer(vocab=[*special, *words], extra_ids=0, model_max_length=length)


def _text(config: Mapping[str, Any], tokenizer: Any) -> Any:
    import transformers

    kind: Any = getattr(transformers, config["architectures"][0])
    own: Any = transformers.T5Config if config is T5 else transformers.CLIPTextConfig
    return kind(own(**{**config, "vocab_size": max(len(tokenizer), config["vocab_size"])}))


def _network(config: Mapping[str, Any]) -> Any:
    made = getattr(library, config["_class_name"]).from_config(dict(config))
    with torch.no_grad():
        for tensor in made.parameters():  # the last layer of a DiT is zero at first
            if not tensor.any():
                tensor.copy_(torch.randn_like(tensor) * 0.1)
    return made


def _sdxl(zeros: bool = True) -> Any:
    from diffusion.pipeline.parts.tokenizer import make_tokenizer

    tokenizer = make_tokenizer(["a photo of a ship", "a photo of a cat"], TEXT["max_position_embeddings"])
    end = tokenizer.eos_token_id
    first, second = ({**config, "eos_token_id": end} for config in (TEXT_XL, TEXT_XL_2))
    other = make_tokenizer(["a photo of a cat", "a ship"], TEXT["max_position_embeddings"])
    other.pad_token = "!"
    return library.StableDiffusionXLPipeline(
        vae=_network(VAE), text_encoder=_text(first, tokenizer), text_encoder_2=_text(second, other),
        tokenizer=tokenizer, tokenizer_2=other, unet=_network(SDXL_UNET),
        scheduler=library.DDIMScheduler.from_config(SCHEDULER), force_zeros_for_empty_prompt=zeros, add_watermarker=False,
    )  # fmt: skip


def _unconditional(name: str) -> Any:
    scheduler: Any = getattr(library, name.replace("Pipeline", "Scheduler"))()
    return getattr(library, name)(unet=_network(UNCONDITIONAL), scheduler=scheduler)


def _dit() -> Any:
    scheduler = library.DDIMScheduler(clip_sample=False)
    return library.DiTPipeline(_network(DIT), _network(VAE), scheduler)


def _pixart(name: str, config: Mapping[str, Any] = PIXART) -> Any:
    vae = {**VAE, "mid_block_add_attention": config is PIXART}
    tokenizer = make_t5_tokenizer()
    return getattr(library, name)(
        tokenizer=tokenizer,
        text_encoder=_text(T5, tokenizer),
        vae=_network(vae),
        transformer=_network(config),
        scheduler=library.DPMSolverMultistepScheduler(),
    )


MAKERS: Mapping[str, Callable[[], Any]] = {
    "sd": make_pipeline,
    "sdxl": _sdxl,
    "sdxl-negative": lambda: _sdxl(zeros=False),
    "ddpm": lambda: _unconditional("DDPMPipeline"),
    "ddim": lambda: _unconditional("DDIMPipeline"),
    "dit": _dit,
    "pixart": lambda: _pixart("PixArtAlphaPipeline"),
    "pixart-sizes": lambda: _pixart("PixArtAlphaPipeline", PIXART_SIZES),
    "pixart-sigma": lambda: _pixart("PixArtSigmaPipeline"),
}


def options(name: str, **changed: Any) -> dict[str, Any]:
    """Return the options of the family of the kind "sdxl", "ddim", "dit" or "pixart", without any weights."""
    own: dict[str, dict[str, Any]] = {
        "sdxl": {
            "kind": "StableDiffusionXLPipeline",
            "unet": {"config": SDXL_UNET, "tokens": 8, "depth": [1], "removable": False},
            "text_encoder": TEXT_XL,
            "text_encoder_2": TEXT_XL_2,
            "vae": VAE,
            "guided": [0.0, 1.0],
            "reuse": [2, 1],
        },
        "ddim": {"kind": "DDIMPipeline", "unet": {"config": UNCONDITIONAL}, "reuse": [2, 1]},
        "dit": {
            "kind": "DiTPipeline",
            "transformer": {"config": {**DIT, "num_embeds_ada_norm": 5}},
            "vae": VAE,
            "guided": [0.0, 1.0],
        },
        "pixart": {
            "kind": "PixArtAlphaPipeline",
            "transformer": {"config": {**PIXART, "use_additional_conditions": True}, "tokens": 8},
            "text_encoder": T5,
            "vae": VAE,
            "guided": [0.0, 1.0],
        },
    }
    return {**own[name], "scheduler": SCHEDULER, "steps": [1, 2], **changed}


def write_kind(name: str, folder: Path, **notes: Any) -> Path:
    """Save the tiny pipeline `name` with what anyfit knows of it; return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = MAKERS[name]()
    pipeline.save_pretrained(folder, safe_serialization=True)
    if name == "dit":  # as in published folders; saving forgets it
        names = {str(number): f"thing {number}" for number in range(1000)} | {"3": "ship, boat"}
        write_json(folder / INDEX, {**read_json(folder / INDEX), "id2label": names})
    write_json(folder / "anyfit.json", {"space": {"steps": [1, 2, 4]}, **notes})
    return folder


@torch.no_grad()
def plain(
    pipeline: Any, inputs: Mapping[str, Tensor], prompts: list[str], steps: int, scale: float
) -> Tensor:
    """Return the pictures (n, channels, height, width), 0 to 1, that diffusers makes of this noise and these prompts."""
    pipeline.set_progress_bar_config(disable=True)
    latents, name = inputs["latents"], type(pipeline).__name__
    how: dict[str, Any] = {"num_inference_steps": steps, "output_type": "pt"}
    if name.startswith(("DDPM", "DDIM", "DiT")):
        return _without_latents(pipeline, latents, inputs, how, scale)
    if name.startswith("PixArt"):
        how |= {"use_resolution_binning": False, "max_sequence_length": 8, "clean_caption": False}
    return pipeline(prompts, guidance_scale=scale, latents=latents, **how).images


def _without_latents(
    pipeline: Any, latents: Tensor, inputs: Mapping[str, Tensor], how: dict, scale: float
) -> Tensor:
    """Call a pipeline that draws its noise itself, and let it draw `latents`."""
    import sys

    module: Any = sys.modules[type(pipeline).__module__]
    drawn, module.randn_tensor = module.randn_tensor, lambda *args, **options: latents
    try:
        if "label" in inputs:
            return pipeline(inputs["label"].tolist(), guidance_scale=scale, **how).images
        return pipeline(batch_size=len(latents), **how).images
    finally:
        module.randn_tensor = drawn
