"""A training recipe: every number that decides the result, as a file, versioned and bound to its checkpoints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from nas._errors import UsageError

_NOT_IN_DIGEST = ("name", "eval_epochs", "checkpoint_steps", "calibration_images", "distil_steps")


@dataclass(frozen=True, kw_only=True)
class Recipe:
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
                f"warmup_epochs is {self.warmup_epochs}, expected less than epochs",
            ),
            (self.seed >= 0, f"seed is {self.seed}, expected 0 or more"),
        ):
            if not rule:
                raise UsageError(f"recipe: {sentence}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and TOML know them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self, **bound: Any) -> str:
        """Return a hex digest of everything that decides the weights; `bound` adds the data's facts."""
        values = {key: value for key, value in self.to_dict().items() if key not in _NOT_IN_DIGEST}
        return hashlib.sha256(json.dumps([values, bound], sort_keys=True).encode()).hexdigest()[:16]

    @staticmethod
    def from_dict(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Check keys and types; an unknown key or a wrong type raises `UsageError` naming it."""
        hints = typing.get_type_hints(Recipe)
        checked: dict[str, Any] = {}
        for key, value in values.items():
            if key not in hints:
                raise UsageError(f"{where}: there is no setting {key!r}; known are {', '.join(hints)}")
            checked[key] = check_fields(where, key, value, hints[key])
        return Recipe(**checked)

    def replaced(self, **changes: Any) -> Recipe:
        """Return the recipe with the `changes` that are not None."""
        given = {key: value for key, value in changes.items() if value is not None}
        return Recipe.from_dict({**dataclasses.asdict(self), **given})


def check_fields(where: str, key: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise UsageError(
                f"{where}: {key} is {value!r}, expected one of {', '.join(typing.get_args(hint))}"
            )
        return value
    if hint is float and type(value) is int:
        return float(value)
    kind = typing.get_origin(hint) or hint
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(tuple(str(word) for word in stage) for stage in value)
    if kind is Mapping or isinstance(kind, types.GenericAlias):
        kind = dict
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits and not (kind is Mapping and isinstance(value, Mapping)):
        expected = getattr(kind, "__name__", kind)
        raise UsageError(f"{where}: {key} is {value!r}, expected a value of type {expected}")
    return value


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = files("nas.train") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe that comes with the package by name, or any TOML file by path."""
    if name in recipe_names():
        text, where = (files("nas.train") / "recipes" / f"{name}.toml").read_text(encoding="utf-8"), name
    elif Path(name).is_file():
        text, where = Path(name).read_text(encoding="utf-8"), name
    else:
        raise UsageError(
            f"there is no recipe {name!r}; give a TOML file or one of {', '.join(recipe_names())}"
        )
    try:
        return Recipe.from_dict(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no complete TOML file ({error}); mend that line") from error
