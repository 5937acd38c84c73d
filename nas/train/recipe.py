"""A training recipe: every number that decides the result, as a file, versioned and bound to its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from nas._errors import UsageError
from nas.train.settings import Settings, names_in, read


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """How a supernet is trained. Lengths are in epochs, rates per optimizer step; see `nas train --help`.

    Attributes:
        name: the trained model's name.
        family, options: what `nas.families.get_family` is asked for; the number of classes comes from the data.
        method: "sandwich" (Yu & Huang 2019; BigNAS, Yu et al. 2020) or "progressive" (once-for-all, Cai et al. 2020).
        random_subnets: subnets drawn a step, beside the smallest (sandwich) or alone (progressive).
        largest_epochs: epochs at the start that train the largest network alone.
        stages: progressive only: which dimensions (by the last word of their name) open in each stage.
        distil_weight: progressive only: weight of the teacher's soft labels beside the true ones.
        optimizer, lr, ...: as timm's `create_optimizer_v2` and cosine schedule understand them.
        ema_decay: of the weights that are evaluated and saved; 0 turns it off.
        crop_padding, flip, erase, mixup, cutmix: augmentation; 0 turns each off.
        eval_epochs, checkpoint_steps: how often to evaluate and to write a checkpoint (0: once an epoch).
        calibration_images: real images used for recalibrating BatchNorm before an evaluation.
        distil_steps: steps for distilling the synthetic calibration images at the end; 0 leaves them out.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        "name",
        "eval_epochs",
        "checkpoint_steps",
        "calibration_images",
        "distil_steps",
    )

    name: str = "supernet"
    family: str = "mbv3-small-image"
    options: Mapping[str, Any] = field(default_factory=dict)
    method: Literal["sandwich", "progressive"] = "sandwich"
    epochs: int = 30
    batch_size: int = 128
    seed: int = 0
    random_subnets: int = 2
    largest_epochs: float = 0.0
    stages: tuple[tuple[str, ...], ...] = (("kernel", "resolution"), ("depth",), ("expand",))
    distil_weight: float = 1.0
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    min_lr: float = 0.0
    label_smoothing: float = 0.1
    grad_clip: float = 5.0
    ema_decay: float = 0.999
    crop_padding: int = 4
    flip: bool = True
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    eval_epochs: int = 1
    checkpoint_steps: int = 0
    calibration_images: int = 2048
    distil_steps: int = 300

    def __post_init__(self) -> None:
        for rule, sentence in (
            (self.epochs >= 1, f"epochs is {self.epochs}, expected at least 1"),
            (
                self.batch_size >= 2,
                f"batch_size is {self.batch_size}, expected at least 2 (BatchNorm needs two images)",
            ),
            (self.lr > 0, f"lr is {self.lr}, expected more than 0"),
            (self.random_subnets >= 0, f"random_subnets is {self.random_subnets}, expected 0 or more"),
            (0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}, expected 0 or more and less than 1"),
            (
                self.warmup_epochs < self.epochs,
                f"warmup_epochs is {self.warmup_epochs:g}, expected less than epochs, which is {self.epochs}; "
                "change one of them (--set warmup_epochs=0 leaves the warm-up out)",
            ),
            (self.seed >= 0, f"seed is {self.seed}, expected 0 or more"),
        ):
            if not rule:
                raise UsageError(f"recipe: {sentence}")

    def replaced(self, **changes: Any) -> Self:
        """Return the recipe with the `changes` that are not None.

        Fewer epochs shorten in proportion what is counted in epochs, the warm-up and the time of the largest network
        alone, unless these are given too.
        """
        epochs = changes.get("epochs")
        if isinstance(epochs, int) and 1 <= epochs < self.epochs:
            for name in ("warmup_epochs", "largest_epochs"):
                if changes.get(name) is None:
                    changes[name] = getattr(self, name) * epochs / self.epochs
        return super().replaced(**changes)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return names_in("nas.train")


def load_recipe(name: str) -> Recipe:
    """Read a recipe that comes with the package by name, or any TOML file by path."""
    return read(Recipe, "nas.train", name)
