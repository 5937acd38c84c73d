"""The settings that every training of a denoiser has: how long, how fast, how its errors are weighted."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from nas.train.settings import Count, Natural, Precision, Rate, Share, StepRecipe, Weight


class Schedule(StepRecipe):
    """A step is one update of the optimizer; what is not said here is in `StepRecipe`.

    Attributes:
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
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        *StepRecipe.not_in_digest, "gradient_checkpointing", "sample_steps", "guidance",
    )  # fmt: skip

    name: str = "tiny-sd"
    steps: Count = 6000
    batch_size: Count = 64
    lr: Rate = 8e-4
    warmup_steps: Natural = 200
    cooldown: Share = 0.5
    weight_decay: Weight = 0.01
    grad_clip: Weight = 1.0
    ema_decay: Share = 0.9995
    flip: bool = False
    drop_caption: Share = 0.1
    snr_gamma: Weight = 5.0
    snr_offset: Weight = 1.0
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    sample_steps: Count = 25
    guidance: Weight = 4.0
    checkpoint_steps: Count = 250
    log_every: Count = 50

    def replaced(self, **changes: Any) -> Self:
        """Return the settings with the `changes` that are not None.

        Fewer steps shorten the warm-up in proportion, unless it is given too.
        """
        steps = changes.get("steps")
        if isinstance(steps, int) and 1 <= steps < self.steps and changes.get("warmup_steps") is None:
            changes["warmup_steps"] = round(self.warmup_steps * steps / self.steps)
        return super().replaced(**changes)

    @property
    def cooldown_start(self) -> int:
        """The step from which the rate falls."""
        return self.steps - round(self.cooldown * self.steps)
