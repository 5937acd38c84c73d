"""What a word on the command line means: a supernet, a subnet, a run or an artifact. Imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import api, export, models
from nas.errors import UsageError
from nas.files import read_json
from nas.models import ModelSource
from nas.progress import Listener

DEFAULT_MODEL = "mbv3-cifar10"
NAMED_SUBNETS = ("largest", "smallest")
MARKS = {"manifest.json": "artifact", "run.json": "run", "supernet.json": "model"}
TRAINED = "model"  # where `nas train` puts its model inside its run's folder
EXPECTED = (
    "give a model's name, a run folder, an exported folder, a subnet.json, 'largest' or 'smallest' "
    "('nas list' shows what there is)"
)


class NetworkModels(ModelSource):
    """Networks that are no supernets yet: they are adopted when they are first asked for, and cached."""

    def find(self, place: str, progress: Listener | None = None) -> Path:
        return api.adopt_model(place, measured=False, progress=progress).path


@dataclass(frozen=True)
class Target:
    """A resolved word. `kind` is model, subnet, run or artifact; `path` is its folder or file, if it has one."""

    text: str
    kind: str
    path: Path | None = None

    @property
    def where(self) -> Path:
        """The folder or file; for the kinds that always have one."""
        if self.path is None:
            raise UsageError(f"{self.text!r} is a {self.kind} without a file; {EXPECTED}")
        return self.path


def find_target(text: str) -> Target:
    """Say what a word means.

    Args:
        text: A model's name or folder, a run's folder, an exported folder, a file subnet.json, "largest", "smallest".

    Returns:
        The target; nothing of it is loaded.

    Raises:
        UsageError: A pickle, an unknown name, any other file or folder; the nearest known name is suggested.
    """
    if text in NAMED_SUBNETS:
        return Target(text, "subnet")
    path = Path(text)
    if path.is_file():
        return _file(text, path)
    if path.is_dir():
        for mark, kind in MARKS.items():
            if (path / mark).is_file():
                return Target(text, kind, path)
        for folder in (path, path / TRAINED):
            if _is_model(folder):
                return Target(text, "model", folder)
        raise UsageError(f"{text} holds none of {', '.join(_marks())}; {EXPECTED}")
    return _name(text)


def _marks() -> list[str]:
    return [*MARKS, *sorted(source.mark for source in models.folder_sources().values())]


def _is_model(folder: Path) -> bool:
    return (folder / "supernet.json").is_file() or models.source_of(folder) is not None


def _file(text: str, path: Path) -> Target:
    export.refuse_pickle(path)
    if path.name in MARKS:
        return Target(text, MARKS[path.name], path.parent)
    if path.suffix != ".json":
        raise UsageError(f"{text} is no file of anyfit's; {EXPECTED}")
    return Target(text, "subnet", path)


def _name(text: str) -> Target:
    known = {name: path for name, path, _ in models.available_models()}
    if text in known or models.names_elsewhere(text):
        return Target(text, "model", models.find_model(text))
    close = difflib.get_close_matches(text, [*known, *NAMED_SUBNETS], n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else EXPECTED
    raise UsageError(f"there is no model, run, subnet or artifact {text!r}; {hint}")


def model_of(target: Target, given: str | None, default: str) -> str:
    """Return the model that a target belongs to: `given`, or what its folder says, or the one with its space."""
    if given is not None:
        return given
    if target.kind == "model":
        return str(target.path)
    if target.path is None:
        return default
    for folder in (target.path, target.path.parent):
        for mark in ("run.json", "manifest.json"):
            if (folder / mark).is_file():
                return str(_entry(read_json(folder / mark), "model") or default)
    return _model_with_space(read_json(target.path), default)


def _entry(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _model_with_space(value: Any, default: str) -> str:
    """Find a model whose space is the subnet's, so that nobody must name it; else the default, which will refuse."""
    digest = _entry(value, "digest")
    known = sorted(models.available_models(), key=lambda entry: entry[0] != default)
    fitting = (
        name for name, path, _ in known if models.read_model_config(path).get("space_digest") == digest
    )
    return next(fitting, default)
