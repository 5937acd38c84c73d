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
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config
from transformers.models.t5.modeling_t5 import T5Stack

from diffusion.denoisers.unet import BATCH
from diffusion.pipeline.parts.autoencoder import PatchAutoencoder
from nas.errors import UsageError

DECODERS: Mapping[str, Any] = {
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderTiny": AutoencoderTiny,
    "PatchAutoencoder": PatchAutoencoder,
}
_DETERMINISTIC = {
    "DDPMScheduler": "DDIMScheduler",
    "EulerAncestralDiscreteScheduler": "EulerDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler": "EulerDiscreteScheduler",
}
"""Schedulers that add noise at every step, and what stands for them: the same seed must give the same image."""


class TextEncoder(CLIPTextModel):
    """CLIP's text encoder as a function: token numbers to the condition of the UNet."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        _forget_places(self)

    def forward(self, input_ids: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return (batch, tokens, features) for token numbers (batch, tokens), int64."""
        return super().forward(input_ids, position_ids=_places(input_ids))[0]


class InnerTextEncoder(TextEncoder):
    """CLIP's text encoder up to its last layer but one, whose features Stable Diffusion XL takes."""

    def __init__(self, config: CLIPTextConfig) -> None:
        config.num_hidden_layers -= 1
        super().__init__(config)
        self.final_layer_norm = nn.Identity()


class PooledTextEncoder(CLIPTextModelWithProjection):
    """CLIP's text encoder with the features of its last layer but one, and those of the whole prompt behind them."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        _forget_places(self)

    def forward(self, input_ids: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return (batch, tokens, features + pooled features) for token numbers (batch, tokens), int64."""
        text, length = self.text_model, input_ids.shape[1]
        x_btc = inner_btc = text.embeddings(input_ids=input_ids, position_ids=_places(input_ids))
        later = torch.ones(length, length, dtype=torch.bool, device=x_btc.device).triu(1)
        bias = torch.zeros(length, length, device=x_btc.device, dtype=x_btc.dtype)
        bias = bias.masked_fill(later, torch.finfo(x_btc.dtype).min)[None, None]
        for layer in text.encoder.layers:
            inner_btc = x_btc
            x_btc = layer(x_btc, bias)
        pooled_bp = self.text_projection(_at_end(text.final_layer_norm(x_btc), input_ids, text.eos_token_id))
        return torch.cat([inner_btc, pooled_bp[:, None].expand(-1, length, -1)], dim=-1)


class MaskedTextEncoder(nn.Module):
    """T5's encoder as a function of token numbers and of which tokens are there."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.encoder = T5Stack(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, tokens, features) for token numbers and mask (batch, tokens), int64."""
        dtype = self.encoder.embed_tokens.weight.dtype
        bias = (1 - attention_mask.to(dtype))[:, None, None] * torch.finfo(dtype).min
        return self.encoder(input_ids=input_ids, attention_mask=bias)[0]


def _forget_places(model: nn.Module) -> None:
    for module in model.modules():
        module._buffers.pop("position_ids", None)  # the only buffer; it follows from the length


def _places(input_ids: Tensor) -> Tensor:
    return torch.arange(input_ids.shape[1], device=input_ids.device)[None]


def _at_end(x_btc: Tensor, input_ids: Tensor, end: Any) -> Tensor:
    """Return the features (batch, features) of the first end of text; older configurations number it wrongly as 2."""
    at_end = (input_ids if end == 2 else input_ids == end).int().argmax(dim=-1)
    return x_btc.gather(1, at_end[:, None, None].expand(-1, 1, x_btc.shape[-1]))[:, 0]


class Decoder(nn.Module):
    """An autoencoder's way from latents to images; its encoder is left out.

    `by_channel` undoes a mean and deviation of each latent channel, where its configuration has them.
    """

    max_batch = BATCH

    def __init__(self, autoencoder: Any, by_channel: bool = False) -> None:
        super().__init__()
        for name in ("encoder", "quant_conv"):
            autoencoder._modules.pop(name, None)
        self.autoencoder = autoencoder
        self._scale = float(autoencoder.config.scaling_factor)
        self._shift = float(getattr(autoencoder.config, "shift_factor", None) or 0)
        names = ("latents_mean", "latents_std") if by_channel else ()
        self._channels = [value for name in names if (value := getattr(autoencoder.config, name, None))]

    def forward(self, latents: Tensor) -> Tensor:
        """Return images (batch, 3, height, width), -1 to 1 and a little beyond."""
        x_bchw = latents / self._scale + self._shift
        if len(self._channels) == 2:
            mean, deviation = (latents.new_tensor(values)[:, None, None] for values in self._channels)
            x_bchw = latents * deviation / self._scale + mean
        return self.autoencoder.decode(x_bchw, return_dict=False)[0]


def text_config(config: Mapping[str, Any], kind: str) -> Any:
    """Return the config.json of a text encoder with all defaults; `kind` is the class of transformers expected."""
    name = (config.get("architectures") or [kind])[0]
    if name not in (kind, "TextEncoder"):
        raise UsageError(f"the text encoder is a {name}, but {kind} is supported; give such a pipeline")
    if kind == "T5EncoderModel":
        plain = {"is_encoder_decoder": False, "use_cache": False, "dropout_rate": 0.0, "is_decoder": False}
        return T5Config(**{**config, **plain})
    return CLIPTextConfig(**config)


def make_text_encoder(
    config: Mapping[str, Any], kind: str = "CLIPTextModel", inner: bool = False
) -> nn.Module:
    """Build a text encoder from its config.json, with its first values.

    `inner` asks for CLIP's features before its last layer.
    """
    encoders: Mapping[str, Any] = {
        "CLIPTextModel": InnerTextEncoder if inner else TextEncoder,
        "CLIPTextModelWithProjection": PooledTextEncoder,
        "T5EncoderModel": MaskedTextEncoder,
    }
    return encoders[kind](text_config(config, kind))


def make_decoder(config: Mapping[str, Any], by_channel: bool = False) -> Decoder:
    """Build an autoencoder's decoder from its config.json, with its first values."""
    name = str(config.get("_class_name"))
    if name not in DECODERS:
        raise UsageError(
            f"the autoencoder is a {name}, but {', '.join(DECODERS)} are supported; give a pipeline with one of these"
        )
    return Decoder(DECODERS[name].from_config(dict(config)), by_channel)


def make_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """Build the scheduler of the class `name` of diffusers from another's configuration."""
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if not name.endswith("Scheduler") or not hasattr(kind, "from_config"):
        raise UsageError(f"diffusers has no scheduler {name!r}; give a pipeline with one of diffusers'")
    own = {key: value for key, value in config.items() if not key.startswith("_")}
    if isinstance(algorithm := own.get("algorithm_type"), str):
        own["algorithm_type"] = algorithm.removeprefix("sde-")  # these add noise too
    return kind.from_config(own)


def deterministic_scheduler(name: str) -> str:
    """Return the class of a scheduler, or of its deterministic relative where it adds noise at every step."""
    return _DETERMINISTIC.get(name, name)
