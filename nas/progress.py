"""The progress of a command, as whoever follows it from another process reads it."""

from __future__ import annotations

from nas._progress import VARIABLE, read_progress

__all__ = ["VARIABLE", "read_progress"]
