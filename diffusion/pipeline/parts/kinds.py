"""The pipelines of diffusers that are taken whole, and their parts; for what they are told see `conditioning.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from diffusion.denoisers.configuration import CONDITIONAL, DIT, PIXART, UNCONDITIONAL
from nas.errors import UsageError

UNET, TRANSFORMER = "unet", "transformer"
TEXT, TEXT_2, VAE = "text_encoder", "text_encoder_2", "vae"


@dataclass(frozen=True)
class Kind:
    """A pipeline's class.

    Attributes:
        denoiser: the part that denoises, a network of the class `network` of diffusers.
        texts: the text encoders, each with the class of transformers that it is of.
        scale: the guidance of diffusers' own default; None where nothing guides.
        tokens: the length of prompts; None: as many as tokenizer and text encoder take.
    """

    name: str
    denoiser: str
    network: str
    texts: Mapping[str, str]
    scale: float | None
    has_decoder: bool = True
    tokens: int | None = None

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The folders of the tokenizers."""
        return tuple(name.replace(TEXT, "tokenizer") for name in self.texts)

    @property
    def weighted(self) -> tuple[str, ...]:
        """The parts that have weights; their configurations are options of the family."""
        return (self.denoiser, *self.texts, *((VAE,) if self.has_decoder else ()))

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts of a pipeline's folder that are needed."""
        return (*self.weighted, *self.tokenizers, "scheduler")


_CLIP, _POOLED, _T5 = "CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("StableDiffusionPipeline", UNET, CONDITIONAL, {TEXT: _CLIP}, 7.5),
        Kind("StableDiffusionXLPipeline", UNET, CONDITIONAL, {TEXT: _CLIP, TEXT_2: _POOLED}, 5.0),
        Kind("DDPMPipeline", UNET, UNCONDITIONAL, {}, None, has_decoder=False),
        Kind("DDIMPipeline", UNET, UNCONDITIONAL, {}, None, has_decoder=False),
        Kind("DiTPipeline", TRANSFORMER, DIT, {}, 4.0),
        Kind("PixArtAlphaPipeline", TRANSFORMER, PIXART, {TEXT: _T5}, 4.5, tokens=120),
        Kind("PixArtSigmaPipeline", TRANSFORMER, PIXART, {TEXT: _T5}, 4.5, tokens=300),
    )
}


def find_kind(name: str) -> Kind:
    """Return the kind of the pipelines of a class of diffusers; raises `UsageError` for one that is not supported."""
    if name not in KINDS:
        raise UsageError(f"{name} is not supported as a whole pipeline; give one of {', '.join(KINDS)}")
    return KINDS[name]
