"""Which of several cheaper ways to run a network is worth its loss: the rule of every quantization here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

Purpose = Literal["speed", "size"]
PURPOSES: tuple[Purpose, ...] = ("speed", "size")
WORTH = 1.2
"""How many times as fast as floats under the same runtime a way must be, to be worth it."""


class Tried(Protocol):
    """A way that was tried: its speed-up over floats, the bytes of its files, and a score, higher being better."""

    @property
    def speedup(self) -> float: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def score(self) -> float: ...


T = TypeVar("T", bound=Tried)


def recommend(
    floats: Tried,
    tried: Sequence[T],
    purpose: Purpose = "speed",
    *,
    worth: float = WORTH,
    least: float = float("-inf"),
) -> T | None:
    """Return the way to take, or None for floats.

    Args:
        floats: what the others are compared with.
        tried: the other ways.
        purpose: for "speed" the most accurate of those that are `worth` times as fast; for "size" the smallest of those
            that are smaller than floats, however slow.
        worth: times as fast as floats.
        least: a score below which nothing is taken.
    """
    # A score is asked for only where it decides: finding it may take minutes.
    if purpose == "size":
        smaller = [each for each in tried if each.size_bytes < floats.size_bytes and each.score >= least]
        return min(smaller, key=lambda each: (each.size_bytes, -each.score), default=None)
    faster = [each for each in tried if each.speedup >= worth and each.score >= least]
    return max(faster, key=lambda each: (each.score, each.speedup), default=None)
