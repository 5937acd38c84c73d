"""What every recipe is: a file of settings, checked by pydantic, whose digest its checkpoints are bound to."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from nas.errors import UsageError

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
Natural = Annotated[int, Field(ge=0)]
"""A whole number of at least 0."""
Rate = Annotated[float, Field(gt=0)]
"""More than 0."""
Weight = Annotated[float, Field(ge=0)]
"""At least 0, which turns something off."""
Share = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1."""
Precision = Literal["auto", "fp32", "bf16"]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


Stages = Annotated[tuple[tuple[str, ...], ...], BeforeValidator(_tuples)]
"""Words in groups; a list of lists in TOML."""
Words = Annotated[tuple[str, ...], BeforeValidator(_tuples)]
"""Words; a list in TOML."""
Sizes = Annotated[tuple[Count, ...], BeforeValidator(_tuples)]
"""Whole numbers of at least 1; a list in TOML."""
Shares = Annotated[tuple[Share, ...], BeforeValidator(_tuples)]
"""Shares from 0 to 1; a list in TOML."""


class Settings(BaseModel):
    """The settings of a training; a subclass has them as fields with defaults.

    `not_in_digest` names those that do not decide the trained weights. A wrong value, here as everywhere, raises
    `UsageError` in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    not_in_digest: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(f"recipe: {self._sentence(error.errors()[0])}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and TOML know them."""
        return self.model_dump(mode="json")

    def digest(self, **bound: Any) -> str:
        """Return a hex digest of everything that decides the weights; `bound` adds the data's facts."""
        values = {key: value for key, value in self.to_dict().items() if key not in self.not_in_digest}
        return hashlib.sha256(json.dumps([values, bound], sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> Self:
        """Read settings; an unknown key or a wrong value raises `UsageError` naming it and `where` it stands."""
        try:
            return cls(**values)
        except UsageError as error:
            raise UsageError(str(error).replace("recipe", where, 1)) from None

    def replaced(self, **changes: Any) -> Self:
        """Return the settings with the `changes` that are not None."""
        given = {key: value for key, value in changes.items() if value is not None}
        return self.from_dict({**self.model_dump(), **given})

    @classmethod
    def _sentence(cls, error: ErrorDetails) -> str:
        """Say what one of pydantic's errors is about: the setting, what was given, what is expected."""
        name, given, kind = str(error["loc"][0]), error["input"], error["type"]
        if kind == "extra_forbidden":
            return f"there is no setting {name!r}; known are {', '.join(cls.model_fields)}"
        limits = error.get("ctx", {})
        if kind == "literal_error":
            choices = get_args(cls.model_fields[name].annotation)
            expected = f"one of {', '.join(choices)}"
        elif kind.endswith("_type"):
            expected = f"a value of type {kind.removesuffix('_type')}"
        elif cls.model_fields[name].metadata == [Ge(0), Le(1)]:
            expected = "a share from 0 to 1"
        elif "ge" in limits:
            expected = f"at least {limits['ge']:g}"
        elif "gt" in limits:
            expected = f"more than {limits['gt']:g}"
        elif "le" in limits:
            expected = f"at most {limits['le']:g}"
        elif "lt" in limits:
            expected = f"less than {limits['lt']:g}"
        else:
            expected = error["msg"]
        return f"{name} is {given!r}, expected {expected}"


class StepRecipe(Settings):
    """A recipe whose lengths are in steps.

    Attributes:
        name: the trained model's name.
        steps, batch_size: how many steps, and images of each in all; several processes share them equally.
        seed: of all draws.
        checkpoint_steps, sample_every, log_every: how often to write a checkpoint, a picture of samples, a row of
            log.csv.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        "name", "steps", "checkpoint_steps", "sample_every", "log_every",
    )  # fmt: skip

    name: str = "model"
    steps: Count = 1000
    batch_size: Count = 8
    seed: Natural = 0
    checkpoint_steps: Count = 500
    sample_every: Count = 500
    log_every: Count = 100


def names_in(package: str) -> list[str]:
    """Return the names of the recipes that come with a package, in its folder `recipes`."""
    folder = files(package) / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


_Settings = TypeVar("_Settings", bound=Settings)


def read(kind: type[_Settings], package: str, name: str) -> _Settings:
    """Read a recipe of `kind` that comes with `package` by name, or any TOML file by path."""
    known = names_in(package)
    if name in known:
        text = (files(package) / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise UsageError(f"there is no recipe {name!r}; give a TOML file or one of {', '.join(known)}")
    try:
        return kind.from_dict(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no complete TOML file ({error}); mend that line") from error


def recipes_of(
    kind: type[_Settings], package: str
) -> tuple[Callable[[], list[str]], Callable[[str], _Settings]]:
    """Return what names the recipes that come with a package, and what reads one of them, or any TOML file by path."""
    return partial(names_in, package), partial(read, kind, package)
