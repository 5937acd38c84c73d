"""The folder of runs: one root for whoever starts and shows them, and no name that leaves it."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from nas.errors import NasError, UsageError
from nas.search import free_name

VARIABLE = "ANYFIT_RUNS"
_LONGEST = 120


def runs_root() -> Path:
    """Return the folder of all runs: that of `ANYFIT_RUNS`, else ./runs."""
    return Path(os.environ.get(VARIABLE) or "runs").resolve()


def use_root(folder: Path) -> None:
    """Make a folder that of all runs, for this process and those that it starts.

    Raises `UsageError` for a link to nothing, `NasError` for a folder that cannot be made.
    """
    if folder.is_symlink() and not folder.exists():
        raise UsageError(f"{folder} is a link to nothing; give a folder with --runs")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasError(
            f"cannot make {folder}: {error.strerror}; give a writable folder with --runs"
        ) from error
    os.environ[VARIABLE] = str(folder.resolve())


def safe_folder(name: str) -> Path:
    """Return the folder `name` directly below the root; it need not exist.

    Raises `UsageError` for a name with a separator, "..", a leading dot or a control character, and for a link that
    leads out of the root.
    """
    is_plain = (
        name and len(name) <= _LONGEST and not name.startswith((".", "~")) and not re.search(r"[/\\:]", name)
    )
    if not is_plain or any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise UsageError(
            f"{name[:_LONGEST]!r} is no name of a folder here; give letters, digits, dots and dashes"
        )
    root = runs_root()
    path = root / name
    if path.is_symlink() or path.resolve().parent != root:
        raise UsageError(f"{name!r} leads out of the folder of runs; choose a folder in it")
    return path


def free_run(stem: str) -> str:
    """Return stem-1, stem-2, …: the first name that is free below the root."""
    return free_name(runs_root(), stem).name


def shown_path(name: str) -> str:
    """Return a folder below the root as commands name it: they run beside the root."""
    return f"{runs_root().name}/{name}"
