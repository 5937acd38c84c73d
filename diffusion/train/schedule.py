"""The settings that every training of a denoiser has: how long, how fast, how its errors are weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nas._errors import UsageError
from nas.train.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Schedule(Settings):
    """Lengths are in steps, one optimizer update each.

    Attributes:
        name: the trained pipeline's name.
        batch_size: images a step takes in all; several processes share them equally.
        snr_gamma: the loss of v is weighted by min(SNR + snr_offset, snr_gamma) / (SNR + 1) (min-SNR, Hang et al.
            2023); with the published offset of 0 a last step of noise alone would not be learned, with 1 it weighs as
            all steps of much noise do. 0 turns the weights off.
        drop_caption: share of the images whose caption is left out, for guidance.
        lr, warmup_steps: AdamW's peak rate and the steps up to it.
        cooldown: share of the steps, at the end, in which the rate falls to zero along a cosine; before them it is
            constant, so that a run may be lengthened or shortened by resuming it with other `steps`.
        ema_decay: of the weights that are kept, reached step by step: at most (1 + step) / (10 + step).
        flip: mirror half of the images.
        precision: "fp32", "bf16" (autocast) or "auto" (bf16 on CUDA, fp32 on a processor, where bf16 was measured to be
            no faster).
        gradient_checkpointing: of the UNet's features keep those between blocks and compute the others anew in the
            backward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost"): less memory, more time,
            the same gradients.
        sample_steps, guidance: of the sample pictures.
        checkpoint_steps, sample_every, log_every: how often to write a checkpoint, a picture of samples, a row of
            log.csv.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        "name",
        "steps",
        "gradient_checkpointing",
        "sample_steps",
        "guidance",
        "checkpoint_steps",
        "sample_every",
        "log_every",
    )

    name: str = "tiny-sd"
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
    drop_caption: float = 0.1
    snr_gamma: float = 5.0
    snr_offset: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    sample_steps: int = 25
    guidance: float = 4.0
    checkpoint_steps: int = 250
    sample_every: int = 500
    log_every: int = 50

    def __post_init__(self) -> None:
        self.at_least(
            1, "steps", "batch_size", "checkpoint_steps", "sample_every", "log_every", "sample_steps"
        )
        self.at_least(
            0, "snr_gamma", "snr_offset", "weight_decay", "seed", "warmup_steps", "guidance", "grad_clip"
        )
        if not self.lr > 0:
            raise UsageError(f"recipe: lr is {self.lr}, expected more than 0")
        for name in ("drop_caption", "ema_decay", "cooldown"):
            self.is_share(name)

    def at_least(self, least: int, *names: str) -> None:
        """Raise `UsageError` naming a setting that is less."""
        for name in names:
            if not getattr(self, name) >= least:
                raise UsageError(f"recipe: {name} is {getattr(self, name)}, expected at least {least}")

    def is_share(self, name: str) -> None:
        """Raise `UsageError` unless the setting is from 0 to 1."""
        if not 0 <= getattr(self, name) <= 1:
            raise UsageError(f"recipe: {name} is {getattr(self, name)}, expected a share from 0 to 1")

    @property
    def cooldown_start(self) -> int:
        """The step from which the rate falls."""
        return self.steps - round(self.cooldown * self.steps)
