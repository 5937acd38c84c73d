"""What the denoiser of each kind of pipeline is told: features of texts, masks, classes, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diffusion.denoisers.family import DenoiserFamily
from diffusion.pipeline.inputs.conditions import Conditions, Constant, EncodedConditions, Given, Label, Tokens
from diffusion.pipeline.parts.components import text_config
from diffusion.pipeline.parts.kinds import TEXT, TEXT_2, VAE, Kind
from nas.errors import UsageError

Configs = Mapping[str, Mapping[str, Any]]
Texts = Mapping[str, Any]
Pixels = tuple[float, float]


def conditions_of(kind: Kind, configs: Configs, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    """Return what the denoiser of a pipeline is told; `configs` are the configurations of its other parts.

    `zeros` says that without a negative prompt the features are zero, where the kind has that choice. Raises
    `UsageError` for parts that do not fit.
    """
    if denoiser.kind != kind.network:
        raise UsageError(
            f"the {kind.denoiser} is a {denoiser.kind}, but that of a {kind.name} is a {kind.network}; give such a one"
        )
    texts = {name: text_config(configs[name], own) for name, own in kind.texts.items()}
    conditions = _CONDITIONS[kind.name](texts, _pixels(configs, denoiser), denoiser, zeros)
    _check(kind, conditions, denoiser)
    return conditions


def _text(texts: Texts, pixels: Pixels, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    config = texts[TEXT]
    return Conditions(
        inputs={"prompt": Tokens("tokenizer", config.vocab_size, denoiser.tokens)},
        encoders={TEXT: {"input_ids": "prompt"}},
        conditioning={"encoder_hidden_states": (EncodedConditions(TEXT, 0, config.hidden_size),)},
        negatives=True,
    )


def _two_texts(texts: Texts, pixels: Pixels, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    """Both encoders' features side by side, the second's pooled ones, and the sizes that SDXL was trained with."""
    first, second = texts[TEXT], texts[TEXT_2]
    width, pooled = second.hidden_size, second.projection_dim
    height, wide = pixels
    return Conditions(
        inputs={
            "prompt": Tokens("tokenizer", first.vocab_size, denoiser.tokens),
            "prompt_2": Tokens("tokenizer_2", second.vocab_size, denoiser.tokens),
        },
        encoders={TEXT: {"input_ids": "prompt"}, TEXT_2: {"input_ids": "prompt_2"}},
        conditioning={
            "encoder_hidden_states": (
                EncodedConditions(TEXT, 0, first.hidden_size),
                EncodedConditions(TEXT_2, 0, width),
            ),
            "text_embeds": (EncodedConditions(TEXT_2, width, width + pooled, pooled=True),),
            "time_ids": Constant((height, wide, 0.0, 0.0, height, wide)),
        },
        negatives=not zeros,
    )


def _masked_text(texts: Texts, pixels: Pixels, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    """A text with a mask of its tokens, and where the transformer takes them the size and shape of the image."""
    config = texts[TEXT]
    height, wide = pixels
    sizes = {"resolution": Constant((height, wide)), "aspect_ratio": Constant((height / wide,))}
    ids = Tokens("tokenizer", config.vocab_size, denoiser.tokens, lower=True)
    mask = Tokens("tokenizer", config.vocab_size, denoiser.tokens, mask=True, lower=True)
    return Conditions(
        inputs={"prompt": ids, "prompt_mask": mask},
        encoders={TEXT: {"input_ids": "prompt", "attention_mask": "prompt_mask"}},
        conditioning={
            "encoder_hidden_states": (EncodedConditions(TEXT, 0, config.d_model),),
            "encoder_attention_mask": Given("prompt_mask"),
            **(sizes if denoiser.template.use_additional_conditions else {}),
        },
        negatives=True,
    )


def _label(texts: Texts, pixels: Pixels, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    """A class; the one after the last is none."""
    classes = int(denoiser.template.config.num_embeds_ada_norm)
    return Conditions(
        inputs={"label": Label(classes)}, conditioning={"class_labels": Given("label", without=classes)}
    )


def _nothing(texts: Texts, pixels: Pixels, denoiser: DenoiserFamily, zeros: bool) -> Conditions:
    return Conditions()


_CONDITIONS: Mapping[str, Callable[[Texts, Pixels, DenoiserFamily, bool], Conditions]] = {
    "StableDiffusionPipeline": _text,
    "StableDiffusionXLPipeline": _two_texts,
    "DDPMPipeline": _nothing,
    "DDIMPipeline": _nothing,
    "DiTPipeline": _label,
    "PixArtAlphaPipeline": _masked_text,
    "PixArtSigmaPipeline": _masked_text,
}


def _pixels(configs: Configs, denoiser: DenoiserFamily) -> tuple[float, float]:
    """Return height and width of the images."""
    edge = 2 ** (len(configs.get(VAE, {}).get("block_out_channels", (0,))) - 1)
    return float(denoiser.size[0] * edge), float(denoiser.size[1] * edge)


def _check(kind: Kind, conditions: Conditions, denoiser: DenoiserFamily) -> None:
    """Raise `UsageError` unless the denoiser takes just what it would be told, in that width."""
    taken = denoiser.example_input(denoiser.space.largest())
    wanted = {name: x for name, x in taken.items() if name not in ("sample", "hidden_states", "timestep")}
    if missing := wanted.keys() ^ conditions.conditioning.keys():
        name = min(missing)
        takes = "takes" if name in wanted else "does not take"
        raise UsageError(
            f"the pipeline's {kind.denoiser} {takes} {name}, unlike that of a {kind.name}; give a pipeline of diffusers"
        )
    for name, source in conditions.conditioning.items():
        if not isinstance(source, tuple):
            continue
        width = sum(part.stop - part.start for part in source)
        if width != wanted[name].shape[-1]:
            raise UsageError(
                f"the {kind.denoiser} takes {name} of {wanted[name].shape[-1]} features, but the text encoders make "
                f"{width}; give a pipeline whose parts belong together"
            )
