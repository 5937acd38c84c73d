"""The run folder: what a search was asked, how far it is, and what it found.

run.json        the request, the state, the result         study.journal   the Optuna study
pareto.csv      every candidate, the front, the finalists  pareto.svg/.png the picture of it
subnet.json     the answer                                 model.onnx      the program that was measured
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from nas.errors import NasError, UsageError
from nas.files import new_folder, read_json, write_json

FORMAT, FORMAT_VERSION = "anyfit-run", 1
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
_FILE = "run.json"


def free_name(root: Path, stem: str) -> Path:
    """Return the first of stem-1, stem-2, … that does not exist in `root`."""
    return next(path for number in count(1) if not (path := root / f"{stem}-{number}").exists())


class RunFolder:
    """A run on disk; `info` is the content of run.json, written as a whole on each change."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info

    @classmethod
    def create(cls, path: Path, request: Mapping[str, Any]) -> RunFolder:
        """Make a new folder in the state "running"; an existing path raises `UsageError`.

        It appears with its run.json or not at all: a search killed before that leaves nothing under its name.
        """
        if path.exists():
            raise UsageError(f"{path} already exists; name a new folder, or continue it with --resume")
        folder = cls(path, {"format": FORMAT, "version": FORMAT_VERSION, **request})
        try:
            with new_folder(path) as beside:
                folder.path = beside
                folder.set_state(RUNNING)
        except UsageError:
            raise
        except NasError as error:
            reason = getattr(error.__cause__, "strerror", None) or str(error)
            raise NasError(f"cannot make {path}: {reason}; choose a writable place with --run-dir") from error
        folder.path = path
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run; anything else raises `UsageError`, damaged JSON `NasError`."""
        if not (path / _FILE).is_file():
            raise UsageError(
                f"{path} is no run folder: it has no {_FILE}; give a folder that `nas search` made"
            )
        info = read_json(path / _FILE)
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise NasError(
                f'{path / _FILE} is not of format "{FORMAT}"; give a folder that `nas search` made'
            )
        if info.get("version") != FORMAT_VERSION:
            raise NasError(
                f"{path / _FILE} has format version {info.get('version')!r}, but {FORMAT_VERSION} is expected; "
                "use the version of anyfit that wrote it"
            )
        return cls(path, info)

    def set_state(self, state: str, **more: Any) -> None:
        """Write run.json with a new state and what else is new."""
        self.info |= {"state": state, "changed": datetime.now(UTC).isoformat(timespec="seconds"), **more}
        self.info["process"] = own_process() if state == RUNNING else None
        write_json(self.path / _FILE, self.info)

    def require_idle(self) -> None:
        """Raise `UsageError` when the process that runs this search is alive."""
        process = self.info.get("process")
        if self.info.get("state") == RUNNING and process and process != own_process() and is_alive(process):
            raise UsageError(
                f"{self.path} is still being searched by process {process['pid']}; wait for it or end it"
            )


def own_process() -> dict[str, Any]:
    """Return what identifies this process: host, number, start time."""
    import psutil

    return {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_alive(process: Mapping[str, Any]) -> bool:
    """Return whether a process recorded by `own_process` on this machine is still running."""
    import psutil

    if process.get("host") != platform.node():
        return False
    try:
        other = psutil.Process(process["pid"])
        return abs(other.create_time() - process["started"]) < 1.0 and other.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError):
        return False
