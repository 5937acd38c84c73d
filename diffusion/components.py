"""What stands beside the UNet in a pipeline, as functions of tensors: text encoders, decoders, schedulers.

Each is the library's own class, built from its configuration; its tensors have the library's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion.autoencoder import PatchAutoencoder
from diffusion.unet import BATCH
from nas._errors import UsageError

DECODERS: Mapping[str, Any] = {
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderTiny": AutoencoderTiny,
    "PatchAutoencoder": PatchAutoencoder,
}
_STEADY = {
    "DDPMScheduler": "DDIMScheduler",
    "EulerAncestralDiscreteScheduler": "EulerDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler": "EulerDiscreteScheduler",
}
"""Schedulers that add noise at every step, and what stands for them: the same seed must give the same image."""


class TextEncoder(CLIPTextModel):
    """CLIP's text encoder as a function: token numbers to the condition of the UNet."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            module._buffers.pop("position_ids", None)  # the only buffer; it follows from the length

    def forward(self, input_ids: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return (batch, tokens, features) for token numbers (batch, tokens), int64."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        return super().forward(input_ids, position_ids=places)[0]


class Decoder(nn.Module):
    """An autoencoder's way from latents to images; its encoder is left out."""

    max_batch = BATCH

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        for name in ("encoder", "quant_conv"):
            autoencoder._modules.pop(name, None)
        self.autoencoder = autoencoder
        self._scale = float(autoencoder.config.scaling_factor)
        self._shift = float(getattr(autoencoder.config, "shift_factor", None) or 0)

    def forward(self, latents: Tensor) -> Tensor:
        """Return images (batch, 3, height, width), -1 to 1 and a little beyond."""
        return self.autoencoder.decode(latents / self._scale + self._shift, return_dict=False)[0]


def make_text_encoder(config: Mapping[str, Any]) -> TextEncoder:
    """Build a text encoder from its config.json, with its first values."""
    names = config.get("architectures") or ["CLIPTextModel"]
    if names[0] not in ("CLIPTextModel", "TextEncoder"):
        raise UsageError(
            f"the text encoder is a {names[0]}, but CLIPTextModel is supported; give such a pipeline"
        )
    return TextEncoder(CLIPTextConfig(**config))


def make_decoder(config: Mapping[str, Any]) -> Decoder:
    """Build an autoencoder's decoder from its config.json, with its first values."""
    name = str(config.get("_class_name"))
    if name not in DECODERS:
        raise UsageError(
            f"the autoencoder is a {name}, but {', '.join(DECODERS)} are supported; give a pipeline with one of these"
        )
    return Decoder(DECODERS[name].from_config(dict(config)))


def make_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """Build the scheduler of the class `name` of diffusers from another's configuration."""
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if not name.endswith("Scheduler") or not hasattr(kind, "from_config"):
        raise UsageError(f"diffusers has no scheduler {name!r}; give a pipeline with one of diffusers'")
    return kind.from_config({key: value for key, value in config.items() if not key.startswith("_")})


def steady_scheduler(name: str) -> str:
    """Return the class of a scheduler, or of its deterministic relative where it adds noise at every step."""
    return _STEADY.get(name, name)
