"""A pipeline's training recipe: every number that decides the result, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nas._errors import UsageError
from nas.train.settings import Settings, names_in, read


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """How a text-to-image pipeline is trained from scratch; lengths are in steps, one optimizer update each.

    Attributes:
        name: the trained pipeline's name.
        resolution: edge of the images in pixels; other images are cut to their middle square and resized.
        patch, latent_channels, whiten: of the autoencoder, see `diffusion.autoencoder.fit_patches`.
        width, levels, layers: of the UNet: channels of the first level (each further one has twice as many), levels,
            resnets a level; head_channels: channels an attention head has; groups: of its group norms.
        text_width, text_layers, text_heads, tokens: of the text encoder; `tokens` is the longest prompt, the two
            tokens around it included.
        schedule: of the noise (1,000 training steps); zero_snr: rescaled so that the last step is noise alone (Lin et
            al. 2023, "Common diffusion noise schedules and sample steps are flawed").
        snr_gamma: the loss of v is weighted by min(SNR + snr_offset, snr_gamma) / (SNR + 1) (min-SNR, Hang et al.
            2023); with the published offset of 0 a last step of noise alone would not be learned, with 1 it weighs as
            all steps of much noise do. 0 turns the weights off.
        drop_caption: share of the images whose caption is left out, for guidance.
        lr, warmup_steps: AdamW's peak rate and the steps up to it.
        cooldown: share of the steps, at the end, in which the rate falls to zero along a cosine; before them it is
            constant, so that a run may be lengthened or shortened by resuming it with other `steps`.
        ema_decay: of the weights that are kept, reached step by step: at most (1 + step) / (10 + step).
        flip: mirror half of the images.
        precision: "fp32", "bf16" (autocast) or "auto" (bf16 on CUDA, fp32 on a processor, where it was measured not to
            be slower).
        sample_steps, guidance: of the sample pictures.
        checkpoint_steps, sample_every, log_every: how often to write a checkpoint, a picture of samples, a row of
            log.csv.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        "name",
        "steps",
        "sample_steps",
        "guidance",
        "checkpoint_steps",
        "sample_every",
        "log_every",
    )

    name: str = "tiny-sd"
    resolution: int = 32
    patch: int = 4
    latent_channels: int = 16
    whiten: float = 0.5
    width: int = 64
    levels: int = 2
    layers: int = 1
    head_channels: int = 32
    groups: int = 16
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 2
    tokens: int = 24
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    zero_snr: bool = True
    snr_gamma: float = 5.0
    snr_offset: float = 1.0
    drop_caption: float = 0.1
    steps: int = 6000
    batch_size: int = 64
    seed: int = 0
    lr: float = 8e-4
    warmup_steps: int = 200
    cooldown: float = 0.5
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    ema_decay: float = 0.9995
    flip: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    sample_steps: int = 25
    guidance: float = 4.0
    checkpoint_steps: int = 250
    sample_every: int = 500
    log_every: int = 50

    def __post_init__(self) -> None:
        for names, least in (
            (
                (
                    "steps",
                    "checkpoint_steps",
                    "sample_every",
                    "log_every",
                    "sample_steps",
                    "levels",
                    "layers",
                ),
                1,
            ),
            (
                ("batch_size", "width", "text_width", "text_layers", "text_heads", "groups", "head_channels"),
                1,
            ),
            (("tokens",), 3),
            (("snr_gamma", "snr_offset", "weight_decay", "seed", "warmup_steps", "guidance", "grad_clip"), 0),
        ):
            for name in names:
                if not getattr(self, name) >= least:
                    raise UsageError(f"recipe: {name} is {getattr(self, name)}, expected at least {least}")
        if not self.lr > 0:
            raise UsageError(f"recipe: lr is {self.lr}, expected more than 0")
        for name in ("drop_caption", "whiten", "ema_decay", "cooldown"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"recipe: {name} is {getattr(self, name)}, expected a share from 0 to 1")
        self._check_shapes()

    def _check_shapes(self) -> None:
        if self.patch not in (1, 2, 4, 8, 16) or self.resolution % self.patch:
            raise UsageError(
                f"recipe: patch is {self.patch}, expected 1, 2, 4, 8 or 16, and a divisor of resolution "
                f"({self.resolution})"
            )
        for name, parts in (("width", "groups"), ("width", "head_channels"), ("text_width", "text_heads")):
            if getattr(self, name) % getattr(self, parts):
                raise UsageError(
                    f"recipe: {name} is {getattr(self, name)}, expected a multiple of {parts} "
                    f"({getattr(self, parts)})"
                )
        halvings = 2 ** (self.levels - 1)
        if self.resolution // self.patch % halvings:
            raise UsageError(
                f"recipe: levels is {self.levels}, but latents of {self.resolution // self.patch} pixels cannot be "
                f"halved {self.levels - 1} times; lower levels or patch"
            )

    @property
    def cooldown_start(self) -> int:
        """The step from which the rate falls."""
        return self.steps - round(self.cooldown * self.steps)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the UNet's levels."""
        return tuple(self.width * 2**level for level in range(self.levels))


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return names_in("diffusion.train")


def load_recipe(name: str) -> Recipe:
    """Read a recipe that comes with the package by name, or any TOML file by path."""
    return read(Recipe, "diffusion.train", name)
