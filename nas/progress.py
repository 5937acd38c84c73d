"""Progress: the one protocol by which whatever takes long says how far it is, and the ways to show it.

Every verb takes `progress`, a `Progress` or a plain function of the same arguments; without one nothing is said. A verb
goes through stages ("searching", "measuring finalists"); a part of one that has a single stage takes `Steps`.

    def progress(stage: str, done: int, total: int, note: str) -> None:
        print(f"{stage}: {done} of {total} {note}")

    nas.load("mbv3-cifar10").search(latency="1ms", progress=progress)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

VARIABLE = "ANYFIT_PROGRESS"
_EVERY_S = 0.25
LINE_S = 10.0


Steps = Callable[[int, int], None]
"""What a part of a verb takes as `progress` that has one stage: it hears how many steps are done, and of how many."""


class Stage(Protocol):
    """`Steps` that also take a note, such as the best value so far."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


class Progress:
    """Hears how far something is. This one keeps silent; a subclass shows what it hears.

    Called with a stage, it is told what is going on; `remark` gets what a reader should still see afterwards.
    """

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        """Hear that `done` of `total` steps of `stage` are done.

        Args:
            stage: What is going on, in a few words; another one than before begins anew.
            done: Steps done so far.
            total: Of how many; 0 where nobody knows.
            note: What else is worth seeing, such as the best value so far.
        """

    def remark(self, text: str) -> None:
        """Hear a sentence that is no progress, such as why a cached profile cannot be used."""

    def steps(self, stage: str) -> Stage:
        """Begin a stage, and return what hears its steps."""
        self(stage)

        def hear(done: int, total: int, note: str = "") -> None:
            self(stage, done, total, note)

        return hear


class _Function(Progress):
    """A plain function as a `Progress`; it hears remarks as stages of no steps."""

    def __init__(self, function: Listener) -> None:
        self._function = function

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        self._function(stage, done, total, note)

    def remark(self, text: str) -> None:
        self._function(text, 0, 0, "")


Listener = Progress | Callable[[str, int, int, str], None]
"""What a verb takes as `progress`."""


def as_progress(listener: Listener | None) -> Progress:
    """Return what was given as `progress`; None says nothing."""
    if isinstance(listener, Progress):
        return listener
    return Progress() if listener is None else _Function(listener)


class ProgressFile:
    """Writes what is going on, at most four times a second; a new stage and the last step are always written."""

    def __init__(self) -> None:
        named = os.environ.get(VARIABLE)
        self._path = Path(named) if named else None
        self._stage = ""
        self._written = 0.0

    def write(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` steps of `stage` are done; 0 of 0 where nobody knows how many there are."""
        now = time.time()
        is_news = stage != self._stage or (total > 0 and done >= total)
        if self._path is None or not (is_news or now - self._written >= _EVERY_S):
            return
        if stage != self._stage:
            self._stage, self._began = stage, now
        self._written = now
        value = {"stage": stage, "done": done, "total": total, "note": note, "began": self._began, "at": now}
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:  # a progress that cannot be shown is no reason to fail
            beside.write_text(json.dumps(value), encoding="utf-8")
            beside.replace(self._path)
        except OSError:
            self._path = None


class ProgressLines:
    """Says in a line how far a stage is and how long it will take, at most every `every_s` seconds.

    What is done sooner than that says nothing.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        every_s: float = LINE_S,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._say, self._every_s, self._clock = say, every_s, clock or time.monotonic
        self._stage: str | None = None

    def write(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Note that `done` of `total` steps of `stage` are done; 0 of 0 where nobody knows how many there are."""
        now = self._clock()
        if stage != self._stage or done < self._first:
            self._stage, self._began, self._first, self._said = stage, now, done, now
            return
        if now - self._said < self._every_s:
            return
        self._said = now
        words = [f"{done} of {total}" if total else "", note]
        if self._first < done <= total:
            left = (now - self._began) / (done - self._first) * (total - done)
            words.append(f"{duration(left)} left")
        self._say(f"{stage}: " + ", ".join(word for word in words if word))


def duration(seconds: float) -> str:
    """Return seconds as readers take them: "8 s", "2 min 5 s", "1 h 20 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def read_progress(path: Path) -> dict[str, Any] | None:
    """Return what was written last, or None where there is nothing yet."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
