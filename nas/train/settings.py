"""What every recipe is: a file of settings, checked by name and type, whose digest its checkpoints are bound to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from nas._errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a training; a subclass has them as fields with defaults.

    `not_in_digest` names those that do not decide the trained weights.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and TOML know them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self, **bound: Any) -> str:
        """Return a hex digest of everything that decides the weights; `bound` adds the data's facts."""
        values = {key: value for key, value in self.to_dict().items() if key not in self.not_in_digest}
        return hashlib.sha256(json.dumps([values, bound], sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> Self:
        """Check keys and types; an unknown key or a wrong type raises `UsageError` naming it."""
        hints = typing.get_type_hints(cls)
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError(f"{where}: there is no setting {key!r}; known are {', '.join(known)}")
        return cls(**{key: _checked(where, key, value, hints[key]) for key, value in values.items()})

    def replaced(self, **changes: Any) -> Self:
        """Return the settings with the `changes` that are not None."""
        given = {key: value for key, value in changes.items() if value is not None}
        return self.from_dict({**dataclasses.asdict(self), **given})


def _checked(where: str, key: str, value: Any, hint: Any) -> Any:
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
