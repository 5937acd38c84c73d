"""What a word on the command line means: a supernet, a subnet, a run or an exported artifact. Imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas._errors import UsageError
from nas._files import read_json

if TYPE_CHECKING:
    from nas.families import Model
    from nas.space import Subnet

NAMED_SUBNETS = ("largest", "smallest")
MARKS = {"manifest.json": "artifact", "run.json": "run", "supernet.json": "model"}
EXPECTED = (
    "give a model's name, a run folder, an exported folder, a subnet.json, 'largest' or 'smallest' "
    "('nas list' shows what there is)"
)


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
    """Say what `text` means; raises `UsageError` for a pickle, an unknown name and any other file or folder."""
    if text in NAMED_SUBNETS:
        return Target(text, "subnet")
    path = Path(text)
    if path.is_file():
        return _file(text, path)
    if path.is_dir():
        for mark, kind in MARKS.items():
            if (path / mark).is_file():
                return Target(text, kind, path)
        raise UsageError(f"{text} holds none of {', '.join(MARKS)}; {EXPECTED}")
    return _name(text)


def _file(text: str, path: Path) -> Target:
    from nas.export import refuse_pickle

    refuse_pickle(path)
    if path.name in MARKS:
        return Target(text, MARKS[path.name], path.parent)
    if path.suffix != ".json":
        raise UsageError(f"{text} is no file of anyfit's; {EXPECTED}")
    return Target(text, "subnet", path)


def _name(text: str) -> Target:
    from nas.families import available_models

    known = {name: path for name, path, _ in available_models()}
    if text in known:
        return Target(text, "model", Path(known[text]))
    close = difflib.get_close_matches(text, [*known, *NAMED_SUBNETS], n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else EXPECTED
    raise UsageError(f"there is no model, run, subnet or artifact {text!r}; {hint}")


def read_subnet(target: Target, model: Model) -> Subnet:
    """Read the subnet of a target with a subnet's meaning; another space's raises `SpaceError` naming both."""
    if target.text in NAMED_SUBNETS:
        return getattr(model.space, target.text)()
    if target.kind == "run":
        return model.space.read(target.where / "subnet.json")
    if target.kind == "artifact":
        return model.space.read(target.where / "subnet.json")
    return model.space.read(target.where)


def model_of(target: Target, given: str | None, default: str) -> str:
    """Return the model that a target belongs to: `given`, or what its folder says, or the one with its space."""
    if given is not None:
        return given
    if target.kind == "model":
        return str(target.path)
    if target.path is None:
        return default
    for folder in (target.path, target.path.parent):
        if (folder / "run.json").is_file():
            return str(_run_model(folder))
        if (folder / "manifest.json").is_file():
            return str(read_json(folder / "manifest.json").get("model", default))
    return _model_with_space(read_json(target.path), default)


def _run_model(folder: Path) -> Any:
    return read_json(folder / "run.json").get("model", "")


def _model_with_space(value: Any, default: str) -> str:
    """Find a model whose space is the subnet's, so that nobody must name it; else the default, which will refuse."""
    from nas.families import available_models, read_model_config

    digest = value.get("digest") if isinstance(value, dict) else None
    models = sorted(available_models(), key=lambda entry: entry[0] != default)
    for name, path, _ in models:
        if read_model_config(path).get("space_digest") == digest:
            return name
    return default
