"""Progress as a small JSON file, for whoever follows a command from another process.

The environment variable `ANYFIT_PROGRESS` names the file; where it is not set, nothing is written.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

VARIABLE = "ANYFIT_PROGRESS"
_EVERY_S = 0.25


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


def read_progress(path: Path) -> dict[str, Any] | None:
    """Return what was written last, or None where there is nothing yet."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
