"""Checkpoints: one file, written atomically, read without unpickling code, bound to its recipe and data."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from nas.errors import NasError, UsageError
from nas.files import replacing
from nas.train.settings import Settings

FORMAT = "anyfit-checkpoint"
VERSION = 2
CHECKPOINT = "checkpoint.pt"
"""The file's name in the folder of a run."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file says of itself, and the training state after `step` of the `steps` that were planned."""

    step: int
    steps: int
    digest: str
    recipe: dict[str, Any]
    about: dict[str, Any]
    state: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint so that the file is the old one or the new one, never a part."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "step": checkpoint.step,
        "steps": checkpoint.steps,
        "digest": checkpoint.digest,
        "recipe": checkpoint.recipe,
        "about": checkpoint.about,
        "state": checkpoint.state,
    }
    with replacing(path) as beside:
        try:
            torch.save(value, beside)
        except RuntimeError as error:  # torch reports a full disk this way
            raise NasError(f"cannot write {path}: {str(error).splitlines()[0]}; free some space") from error


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint with `weights_only=True`; a missing, truncated or foreign file raises `NasError`."""
    try:
        value = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"there is no checkpoint {path}; leave --resume out to start a new run") from error
    except pickle.UnpicklingError as error:
        raise NasError(
            f"{path} holds more than weights and plain values, so it is not loaded; train anew"
        ) from error
    except Exception as error:  # torch's restricted reader lets foreign bytes raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise NasError(f"{path} is no complete checkpoint ({reason}); delete it and train anew") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NasError(f"{path} is no checkpoint of `nas train`; name the output folder of such a run")
    if value.get("version") != VERSION:
        raise NasError(
            f"{path} has version {value.get('version')}, expected {VERSION}; train anew with this version"
        )
    names = [each.name for each in fields(Checkpoint)]
    try:
        return Checkpoint(**{name: value[name] for name in names})
    except KeyError as error:
        raise NasError(f"{path} is no complete checkpoint (no {error}); delete it and train anew") from error


def check_same(checkpoint: Checkpoint, digest: str, recipe: Settings, path: Path) -> None:
    """Raise `UsageError` naming what changed unless the checkpoint was made by this recipe on this data."""
    if checkpoint.digest == digest:
        return
    now = {key: value for key, value in recipe.to_dict().items() if key not in recipe.not_in_digest}
    changed = [key for key in now if checkpoint.recipe.get(key) != now[key]]
    what = (
        f"{changed[0]} was {checkpoint.recipe.get(changed[0])!r}, now {now[changed[0]]!r}"
        if changed
        else "data"
    )
    raise UsageError(
        f"{path} was made with another configuration ({what}); resume with the same one or give a new --output"
    )
