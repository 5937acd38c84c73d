"""One job: its state on disk, its start, and how it is found again.

    runs/.jobs/<id>/   job.json (what, state, processes)   progress.json   stdout   stderr   cancel (asked to stop)

One job runs at a time, others wait: two that measure would disturb each other. Nobody holds anything of a job in
memory, so that whoever started it can end, and another process finds it as it is. A job whose processes are gone
without a last word is dead.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import read_json, write_json
from nas.jobs._folders import runs_root, shown_path
from nas.progress import read_progress
from nas.search import is_alive

FOLDER, INFO, PROGRESS, STDOUT, STDERR, CANCEL = (
    ".jobs",
    "job.json",
    "progress.json",
    "stdout",
    "stderr",
    "cancel",
)
LIVE = ("queued", "running")
_GRACE_S = 20.0  # a supervisor writes down that it lives within this time
_TAIL_BYTES = 20_000
_KEPT = 200


def jobs_root() -> Path:
    """Return the folder of all jobs."""
    return runs_root() / FOLDER


def read_info(folder: Path) -> dict[str, Any]:
    """Return job.json; raises `NasError` for a damaged one."""
    info = read_json(folder / INFO)
    if not isinstance(info, dict) or not isinstance(info.get("argv"), list):
        raise NasError(f"{folder / INFO} describes no job; remove its folder")
    return info


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write job.json, atomically."""
    write_json(folder / INFO, info)


@dataclass(frozen=True)
class Job:
    """A job as it is on disk at the moment of reading."""

    id: str
    folder: Path
    info: dict[str, Any]

    @property
    def kind(self) -> str:
        """What kind of work: "search", "export", "profile", "drift", "project", "compare"."""
        return self.info["kind"]

    @property
    def title(self) -> str:
        """What it does, for readers."""
        return self.info["title"]

    @property
    def argv(self) -> list[str]:
        """The words after `nas`."""
        return self.info["argv"]

    @property
    def run(self) -> str | None:
        """The folder below the root that it makes or continues."""
        return self.info.get("run")

    @property
    def state(self) -> str:
        """queued, running, finished, infeasible, failed, cancelled or dead."""
        state = self.info["state"]
        if state not in LIVE:
            return state
        supervisor = self.info.get("supervisor")
        if supervisor is None:
            return state if time.time() - self.info["created"] < _GRACE_S else "dead"
        return state if is_alive(supervisor) else "dead"

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVE

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and has not ended."""
        return self.is_live and (self.folder / CANCEL).exists()

    @property
    def seconds(self) -> float | None:
        """How long it ran, or has been running."""
        if (began := self.info.get("began")) is None:
            return None
        return max(0.0, (self.info.get("ended") or time.time()) - began)

    def progress(self) -> dict[str, Any] | None:
        """Return stage, done, total, note, and `left_s` where it can be told."""
        if (value := read_progress(self.folder / PROGRESS)) is None:
            return None
        done, total = value.get("done") or 0, value.get("total") or 0
        spent = value.get("at", 0) - value.get("began", 0)
        value["left_s"] = spent / done * (total - done) if done > 1 and total > done and spent > 1 else None
        return value

    def log(self) -> str:
        """Return the end of what it said."""
        return _tail(self.folder / STDERR)

    def output(self) -> str:
        """Return the end of what it answered."""
        return _tail(self.folder / STDOUT)

    def failure(self) -> str:
        """Return in a sentence why it did not finish."""
        if self.state == "dead":
            return "the job ended without a last word: it was killed, or the machine went down; what it wrote is kept"
        lines = [line for line in self.log().splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with exit code {self.info.get('code')}"

    def cancel(self) -> None:
        """Ask it to stop; a search ends with its best so far, on disk."""
        if not Job(self.id, self.folder, read_info(self.folder)).is_live:
            return
        (self.folder / CANCEL).touch()
        supervisor = read_info(self.folder).get("supervisor")  # by now it may have one that looked too early
        if supervisor is not None and is_alive(supervisor):
            os.kill(supervisor["pid"], signal.SIGTERM)

    def again(self) -> Job:
        """Start it again: a search goes on where it was."""
        argv = self.argv
        if self.kind == "search" and self.run and (runs_root() / self.run / "run.json").is_file():
            argv = ["search", "--resume", shown_path(self.run)]
        return start(self.kind, self.title, argv, self.run)


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def start(kind: str, title: str, argv: Sequence[str], run: str | None = None) -> Job:
    """Start `nas` with the words `argv`, as soon as no other job runs."""
    folder = jobs_root() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise NasError(f"cannot make {folder}: {error.strerror}; make room or choose other --runs") from error
    info = {
        "id": folder.name, "kind": kind, "title": title, "argv": [*argv], "run": run, "state": "queued",
        "created": time.time(), "cwd": str(runs_root().parent),
    }  # fmt: skip
    write_info(folder, info)
    with open(folder / "supervisor.log", "wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "nas.jobs.supervisor", str(folder)], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True, cwd=_import_root(),
        )  # fmt: skip
    _children.append(supervisor)
    return Job(folder.name, folder, info)


_children: list[subprocess.Popen[bytes]] = []


def _import_root() -> str:
    return str(Path(__file__).parents[2])


def reap() -> None:
    """Collect supervisors that have ended, so that none stays as a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]


def find(identity: str | None) -> Job | None:
    """Return a job by its id, None where there is none of that name."""
    if not identity or not all(letter.isalnum() or letter == "-" for letter in identity):
        return None
    folder = jobs_root() / identity
    try:
        return Job(identity, folder, read_info(folder)) if folder.is_dir() else None
    except NasError:
        return None


def jobs(kind: str | None = None) -> list[Job]:
    """Return all jobs that can be read, the newest first."""
    reap()
    root = jobs_root()
    if not root.is_dir():
        return []
    found = [find(path.name) for path in sorted(root.iterdir(), reverse=True)[:_KEPT] if path.is_dir()]
    return [job for job in found if job is not None and kind in (None, job.kind)]


def of_run(name: str) -> Job | None:
    """Return the newest job of a run."""
    return next((job for job in jobs() if job.run == name), None)


def typical_seconds(kind: str, words: Sequence[str]) -> tuple[float, int] | None:
    """Return how long finished jobs of a kind with these words took: the median, and how many they were."""
    import statistics

    known = [
        job.seconds
        for job in jobs(kind)
        if job.info["state"] == "finished" and job.seconds and all(word in job.argv for word in words)
    ]
    return (statistics.median(known), len(known)) if known else None


def command_words(*words: str, **options: object) -> list[str]:
    """Return the words of a command: `words`, then its options; None and "" are left out, True is a flag."""
    found = [*words]
    for name, value in options.items():
        if value is not None and value is not False and value != "":
            found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return found


def command_line(argv: Sequence[str]) -> str:
    """Return the command that does the same, to copy."""
    return shlex.join(["nas", *argv])
