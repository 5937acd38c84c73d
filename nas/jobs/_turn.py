"""The one turn that jobs take: what measures takes it too, so that no two disturb each other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import UsageError
from nas.jobs._job import jobs, jobs_root

_LOCK = ".lock"


@contextmanager
def turn(*, wait: bool = False, root: Path | None = None) -> Iterator[None]:
    """Hold the turn until the end of the block.

    Args:
        wait: Whether to wait for it; else a turn that is taken raises.
        root: The folder of jobs; None for `jobs_root()`.

    Raises:
        UsageError: Another has the turn.
    """
    folder = root or jobs_root()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            running = next(
                (f"job {job.id} ({job.title})" for job in jobs() if job.state == "running"), "something"
            )
            raise UsageError(
                f"{running} is measuring here, and two that measure would disturb each other; "
                "wait until it has ended, or cancel it"
            ) from error
        yield
