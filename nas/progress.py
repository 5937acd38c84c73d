"""Progress for those who see no bar: a line now and then, and a small JSON file.

The file is for whoever follows a command from another process. The environment variable `ANYFIT_PROGRESS` names it;
where that is not set, nothing is written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "ANYFIT_PROGRESS"
_EVERY_S = 0.25
LINE_S = 10.0


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
