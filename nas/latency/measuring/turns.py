"""Turns: every program in turn, again and again, between runs of the reference programs.

Programs measured one after the other would carry whatever the machine did meanwhile into their order. In turns a slow
phase touches all of them, the reference programs tell how slow it is, and a turn in which another program had the core
shows as time that was waited, and is measured again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from time import monotonic
from typing import Protocol

import numpy as np

from nas.latency.measuring.pace import WAITED, is_calm
from nas.latency.measuring.process import Burst
from nas.latency.measuring.statistics import median_interval, undisturbed


@dataclass(frozen=True)
class TurnPlan:
    """How sure a measurement must be, and what it may cost.

    A program is settled when the 95% interval of its latency is at most ± `target` wide (relative) over at least
    `min_bursts` undisturbed bursts, or after `max_bursts`. `budget_s` ends everything, though never before each program
    has three bursts; where fewer than three are undisturbed and at the machine's calm pace, it goes on for up to
    `patience_s` more, since calmer moments tell more than any correction.
    """

    target: float = 0.02
    min_bursts: int = 6
    max_bursts: int = 40
    burst_ms: float = 6.0
    budget_s: float | None = None
    patience_s: float = 6.0
    seed: int = 0


class Prober(Protocol):
    """What runs programs: the measuring process."""

    def burst(self, key: str, warm: int, runs: int) -> Burst:
        """Run a program `warm` times untimed, then `runs` times."""
        ...


@dataclass(frozen=True)
class Turn:
    """A burst of one program, with the bursts of the reference programs, by name, just before and after it."""

    burst: Burst
    before: Mapping[str, Burst] = field(default_factory=dict)
    after: Mapping[str, Burst] = field(default_factory=dict)

    def reference_ms(self) -> dict[str, float]:
        """Return what a run of each reference program took beside this burst."""
        return {
            name: 0.5 * (self.before[name].median_ms + self.after[name].median_ms) for name in self.before
        }

    @cached_property
    def relative_latency(self) -> float:
        """The burst's latency over the geometric mean of those of the reference programs; itself without any."""
        beside = self.reference_ms().values()
        return self.burst.median_ms / prod(beside) ** (1 / max(len(beside), 1))

    @cached_property
    def is_disturbed(self) -> bool:
        """Whether another program had the core, or the machine's pace changed while the burst ran."""
        bursts = [self.burst, *self.before.values(), *self.after.values()]
        if any(burst.waited_share > WAITED for burst in bursts):
            return True
        pairs = ((self.before[name].median_ms, self.after[name].median_ms) for name in self.before)
        return any(max(pair) > (1 + CHANGED) * min(pair) for pair in pairs)


@dataclass(frozen=True)
class Turns:
    """What was run: the turns of every program, and all bursts of the reference programs, by name."""

    programs: Mapping[str, list[Turn]]
    references: Mapping[str, list[Burst]]


CHANGED = 0.10  # how far the reference programs may differ before and after a burst
_FEWEST_BURSTS = 3
_RUNS = (3, 25)
_WARM = 2
_LONG_MS = 400.0  # a run this long warms the caches for itself: once a burst is enough
_REFERENCE_MS = 4.0  # of a reference program's burst
_MOST_REFERENCE_MS = 30.0
_GROUP_MS = 50.0  # of programs between two bursts of the reference programs


def collect(
    prober: Prober,
    keys: Iterable[str],
    plan: TurnPlan,
    references: Sequence[str] = (),
    calm: Mapping[str, float] | None = None,
    *,
    settled: Callable[[int], None] = lambda count: None,
    clock: Callable[[], float] = monotonic,
) -> Turns:
    """Return all turns of every program, disturbed ones too; `settled` hears how many programs are done.

    `calm` are the calm latencies of the reference programs as far as they are known, in ms.
    """
    known = calm or {}
    end = None if plan.budget_s is None else clock() + plan.budget_s
    latest = clock() + (plan.budget_s or 0.0) + plan.patience_s
    session = _Session(prober, references, plan)
    turns: dict[str, list[Turn]] = {key: [] for key in keys}
    shapes = {key: session.shape(key, plan.burst_ms) for key in turns}
    shuffle = random.Random(plan.seed).shuffle

    good = dict.fromkeys(turns, 0)  # turns that were undisturbed and at the calm pace

    def is_late() -> bool:
        if end is None or clock() <= end or any(len(t) < _FEWEST_BURSTS for t in turns.values()):
            return False
        return clock() > latest or all(count >= _FEWEST_BURSTS for count in good.values())

    def is_settled(key: str) -> bool:
        return (good[key] >= _FEWEST_BURSTS or clock() > latest) and _is_settled(turns[key], plan)

    session.reference()
    while active := [key for key in turns if not is_settled(key)]:
        settled(len(turns) - len(active))
        shuffle(active)
        for group in session.groups(active, shapes):
            wanted = [key for key in group if not (len(turns[key]) >= _FEWEST_BURSTS and is_late())]
            for key, turn in session.turns(wanted, shapes):
                turns[key].append(turn)
                good[key] += not turn.is_disturbed and is_calm(turn.reference_ms(), known)
        if is_late():
            break
    settled(len(turns))
    return Turns(turns, session.references)


class _Session:
    """Runs groups of programs between bursts of the reference programs."""

    def __init__(self, prober: Prober, references: Sequence[str], plan: TurnPlan) -> None:
        self._prober = prober
        self.references: dict[str, list[Burst]] = {name: [] for name in references}
        self._quickest: dict[str, float] = {}
        self._shapes = {
            name: self._short_shape(name, min(_REFERENCE_MS, plan.burst_ms)) for name in references
        }

    def shape(self, key: str, burst_ms: float) -> tuple[int, int]:
        """Return how often a burst runs the program untimed and timed, after running it a few times."""
        self._quickest[key] = once_ms = self._prober.burst(key, 0, 1).ms[0]
        if once_ms >= _LONG_MS:
            return 0, 1
        self._quickest[key] = quickest = min(self._prober.burst(key, _WARM, _RUNS[0]).ms)
        count = int(np.clip(round(burst_ms / max(quickest, 1e-6)), *_RUNS))
        return _WARM, count

    def _short_shape(self, key: str, burst_ms: float) -> tuple[int, int]:
        """Return the shape of a reference program's burst: fewer runs where three would take too long."""
        warm, count = self.shape(key, burst_ms)
        most = max(1, int(_MOST_REFERENCE_MS / max(self._quickest[key], 1e-6)))
        return (warm, count) if count <= most else (min(warm, 1), most)

    def reference(self) -> dict[str, Burst]:
        """Run each reference program."""
        bursts = {name: self._prober.burst(name, *shape) for name, shape in self._shapes.items()}
        for name, burst in bursts.items():
            self.references[name].append(burst)
        return bursts

    def groups(self, keys: Sequence[str], shapes: Mapping[str, tuple[int, int]]) -> Iterable[list[str]]:
        """Split programs into groups of about `_GROUP_MS`."""
        group: list[str] = []
        total = 0.0
        for key in keys:
            group.append(key)
            total += self._quickest[key] * sum(shapes[key])
            if total >= _GROUP_MS:
                yield group
                group, total = [], 0.0
        if group:
            yield group

    def turns(self, keys: Sequence[str], shapes: Mapping[str, tuple[int, int]]) -> Iterable[tuple[str, Turn]]:
        """Run programs, then the reference programs once more."""
        if not keys:
            return []
        before = {name: bursts[-1] for name, bursts in self.references.items()}
        bursts = {key: self._prober.burst(key, *shapes[key]) for key in keys}
        after = self.reference()
        return [(key, Turn(burst, before, after)) for key, burst in bursts.items()]


def has_undisturbed(turns: Sequence[Turn]) -> bool:
    """Whether there are enough undisturbed turns to tell a latency."""
    return sum(not turn.is_disturbed for turn in turns) >= _FEWEST_BURSTS


def relative(turns: Sequence[Turn]) -> list[float]:
    """Return each turn's latency over that of the reference programs beside it (itself where there are none)."""
    return [turn.relative_latency for turn in turns]


def kept(turns: Sequence[Turn]) -> list[Turn]:
    """Return the undisturbed turns; all of them where there are fewer than three."""
    calm = [turn for turn in turns if not turn.is_disturbed]
    chosen = calm if len(calm) >= _FEWEST_BURSTS else list(turns)
    flags = undisturbed(relative(chosen))
    return [turn for turn, flag in zip(chosen, flags, strict=True) if flag]


def _is_settled(turns: Sequence[Turn], plan: TurnPlan) -> bool:
    if len(turns) < plan.min_bursts:
        return False
    if len(turns) >= plan.max_bursts:
        return True
    ratios = relative(kept(turns))
    if len(ratios) < plan.min_bursts:
        return False
    low, high = median_interval(ratios)
    return high - low <= 2 * plan.target * float(np.median(ratios))
