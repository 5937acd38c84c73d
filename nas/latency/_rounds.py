"""Interleaved rounds: every program in turn, again and again, until each has enough undisturbed bursts.

Programs measured one after the other would carry whatever the machine did meanwhile into their order. In rounds a slow
phase touches all of them, shows as bursts far above a program's quick ones, and is measured again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import numpy as np

from nas.latency._process import Burst
from nas.latency._statistics import median_interval, undisturbed


@dataclass(frozen=True)
class Plan:
    """How sure a measurement must be, and what it may cost.

    A program is settled when the 95% interval of its median is at most ± `target` wide (relative) over at least
    `min_bursts` undisturbed bursts, or after `max_bursts`. `budget_s` ends everything, though never before each program
    has three bursts.
    """

    target: float = 0.02
    min_bursts: int = 6
    max_bursts: int = 40
    burst_ms: float = 6.0
    budget_s: float | None = None
    seed: int = 0


class Prober(Protocol):
    """What runs programs: the measuring process."""

    def burst(self, key: str, warm: int, runs: int) -> Burst:
        """Run a program `warm` times untimed, then `runs` times."""
        ...


_FEWEST_BURSTS = 3
_RUNS = (3, 25)
_WARM = 2
_LONG_MS = 400.0  # a run this long warms the caches for itself: once a burst is enough


def collect(
    prober: Prober,
    keys: Iterable[str],
    plan: Plan,
    *,
    settled: Callable[[int], None] = lambda count: None,
    clock: Callable[[], float] = monotonic,
) -> dict[str, list[Burst]]:
    """Return all bursts of every program, disturbed ones too; `settled` hears how many programs are done."""
    end = None if plan.budget_s is None else clock() + plan.budget_s
    bursts: dict[str, list[Burst]] = {key: [] for key in keys}
    once = {key: prober.burst(key, 0, 1).ms[0] for key in bursts}
    shapes = {key: _shape(prober, key, ms, plan) for key, ms in once.items()}
    shuffle = random.Random(plan.seed).shuffle
    while active := [key for key in bursts if not _is_settled(bursts[key], plan)]:
        settled(len(bursts) - len(active))
        shuffle(active)
        for key in active:
            is_late = end is not None and clock() > end
            if not is_late or len(bursts[key]) < _FEWEST_BURSTS:
                bursts[key].append(prober.burst(key, *shapes[key]))
        if end is not None and clock() > end and all(len(b) >= _FEWEST_BURSTS for b in bursts.values()):
            break
    settled(len(bursts))
    return bursts


def _shape(prober: Prober, key: str, once_ms: float, plan: Plan) -> tuple[int, int]:
    """Return how often a burst runs the program untimed and timed."""
    if once_ms >= _LONG_MS:
        return 0, 1
    quickest = min(prober.burst(key, _WARM, _RUNS[0]).ms)
    return _WARM, int(np.clip(round(plan.burst_ms / max(quickest, 1e-6)), *_RUNS))


def kept(bursts: list[Burst]) -> list[Burst]:
    """Return the undisturbed bursts."""
    flags = undisturbed([burst.median_ms for burst in bursts])
    return [burst for burst, flag in zip(bursts, flags, strict=True) if flag]


def _is_settled(bursts: list[Burst], plan: Plan) -> bool:
    if len(bursts) < plan.min_bursts:
        return False
    if len(bursts) >= plan.max_bursts:
        return True
    medians = [burst.median_ms for burst in kept(bursts)]
    if len(medians) < plan.min_bursts:
        return False
    low, high = median_interval(medians)
    return high - low <= 2 * plan.target * float(np.median(medians))
