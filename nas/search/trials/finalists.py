"""From predicted candidates to a measured answer.

A latency budget is a promise about a measurement: candidates are ranked by prediction, finalists are measured, and the
answer is one whose measured latency keeps the budget, twice, in processes of their own, with a margin for the noise
between processes. What the first finalists teach about the predictor's error steers the choice of the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol, Self

import numpy as np

from nas.search.trials.study import Evaluations

MARGIN = 0.02  # a measured latency counts as within the budget this much below it
SHARED_MARGIN = 0.04  # with several threads, which wait for each other: their figures vary more
_ROUNDS = 5
_NEAR = 0.4  # of the logarithm of measured latency over the limit: within a factor of 1.5
_GOOD_ENOUGH = 0.005  # a share of all scores' range that is worth no further round's seconds
_GOOD_ENOUGH_CHECKED = 0.0005  # where scores are checked: smaller than predictions tell apart
_USED = 0.9  # a rung whose subnet uses less of it is tried again, now that the predictor's error is known
_TRIED = 2  # candidates measured for one aim, where their scores can be checked
_CHECKED = 8  # scores that are measured at most to find the best within a limit of another kind than latency
_AIMS = (1.0, 0.985, 0.965, 0.93)
_AIMS_DOUBTED = (1.06, 1.03, 1.0, 0.985, 0.965, 0.93, 0.88, 0.8)  # where the profile is not good
# Where writing a candidate takes seconds: two tell how far the predictor errs, the next use the budget.
_FIRST_COSTLY, _AIMS_COSTLY, _ROUNDS_COSTLY = (1.0, 0.97), (1.03, 1.015, 1.0, 1.0, 0.98, 0.96), 4
_CHECK_S = 20.0  # that measuring scores may take; then predictions decide among what was not measured
_AIMS_CHECKED = (1.03, 1.0, 0.975)  # some that are predicted to miss the limit keep it

_LAST_RUNS = 3  # measurements of the last candidate that decide whether it fits
_PACED = (1.0, 0.97, 0.93)  # candidates for these shares of the limit tell how fast the machine is now


class Measured(Protocol):
    """What is needed of a measurement: calm figures in ms, and how far the machine is from its calm pace."""

    @property
    def median_ms(self) -> float: ...

    @property
    def p90_ms(self) -> float: ...

    @property
    def pace(self) -> float: ...

    @property
    def busy(self) -> float: ...

    @property
    def is_restless(self) -> bool: ...

    @property
    def calm(self) -> Mapping[str, float]:
        """The calm latencies of reference programs that the figures are based on."""
        ...

    def rebased(self, calm: Mapping[str, float]) -> Self:
        """Return the measurement as it would be, had these calm latencies been known."""
        ...

    def of(self, statistic: str) -> float:
        """Return the latency by "median", "p90" or "p99"."""
        ...


Measure = Callable[[np.ndarray], Sequence[Measured]]  # codes (n, d) -> n measurements, in one process
Check = Callable[[np.ndarray], np.ndarray]  # codes (n, d) -> measured scores (n,)


@dataclass
class Finalist:
    """A measured candidate: its position among the evaluations and every measurement of it.

    `score` is that of the evaluations; `checked` is a measured one, where scores are predicted and can be checked.
    """

    index: int
    predicted_ms: float
    score: float
    runs: list[Measured] = field(default_factory=list)
    checked: float | None = None
    statistic: str = "median"

    @property
    def value(self) -> float:
        """The score that is known best."""
        return self.score if self.checked is None else self.checked

    @property
    def rank(self) -> tuple[float, float]:
        """What is better stands higher: the score, then the latency."""
        return self.value, -self.measured_ms if self.runs else 0.0

    @property
    def measured_ms(self) -> float:
        """The largest latency that was measured, by the statistic that the budget is about."""
        return max(run.of(self.statistic) for run in self.runs)

    @property
    def median_ms(self) -> float:
        """The largest median that was measured."""
        return max(run.median_ms for run in self.runs)

    @property
    def p90_ms(self) -> float:
        """The largest 90% quantile that was measured."""
        return max(run.p90_ms for run in self.runs)

    @property
    def pace(self) -> float:
        """Raw over calm latency in the last measurement."""
        return self.runs[-1].pace

    @property
    def is_restless(self) -> bool:
        """Whether no measurement found the machine calm enough to be trusted."""
        return all(run.is_restless for run in self.runs)

    @property
    def typical_ms(self) -> float:
        """The median of what was measured, of the trustworthy measurements where there are any."""
        trusted = [run for run in self.runs if not run.is_restless] or self.runs
        return float(np.median([run.of(self.statistic) for run in trusted]))

    def holds(self, limit_ms: float, margin: float = MARGIN) -> bool:
        """Return whether every measurement keeps the limit with the margin."""
        return self.measured_ms * (1.0 + margin) <= limit_ms


class Finals:
    """Measures finalists among the `found` evaluations for one latency limit and a ladder of others.

    `allowed` marks the evaluations that keep all limits but latency. The latency is column 0 of the costs. With `check`
    scores are predictions that err by `doubt`, and those of the best are measured, one after the other, until none that
    is left would be better if its prediction erred so far. `statistic` is what the limit is about; where the latencies
    of `found` are doubted, more candidates are measured, and fewer where they are costly to write. What is measured
    has to be below the limit by `margin`.
    """

    def __init__(
        self,
        found: Evaluations,
        allowed: np.ndarray,
        measure: Measure,
        ratio: float = 1.0,
        check: Check | None = None,
        doubt: float = 0.0,
        statistic: str = "median",
        is_doubted: bool = False,
        is_costly: bool = False,
        margin: float = MARGIN,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._found = found
        self._allowed = allowed
        self._measure = measure
        self._check = check
        self._doubt = doubt
        self._statistic = statistic
        self._aims = [*(_AIMS_DOUBTED if is_doubted else _AIMS)]
        self._is_costly = is_costly and check is not None
        if check is not None:
            self._aims = [aim for aim in _AIMS_CHECKED for _ in range(_TRIED)]
            self._aims = [*_AIMS_COSTLY] if is_costly else self._aims
        self._margin, self._clock = margin, clock
        self._checking_s = 0.0
        enough = _GOOD_ENOUGH if check is None else _GOOD_ENOUGH_CHECKED
        self._good_enough = enough * float(np.ptp(found.score)) if len(found) else 0.0
        self._ratio = ratio  # measured / predicted near the budget
        self.finalists: dict[int, Finalist] = {}
        self._unmeasured: dict[int, Finalist] = {}
        self.rounds = 0

    # --- the budget ---------------------------------------------------------------------------------------------------

    def decide(self, limit_ms: float, rungs: Sequence[float] = ()) -> Finalist | None:
        """Return the best finalist that keeps `limit_ms`, confirmed by a second measurement, or None if none does.

        Candidates for the limits in `rungs` are measured along with it, once each.
        """
        best: Finalist | None = None
        rounds = _ROUNDS_COSTLY if self._is_costly else _ROUNDS
        for turn in range(rounds):
            chosen = self._next(limit_ms, turn)
            if chosen:
                self._run([*chosen, *(self.candidates(rungs) if turn == 0 else ())])
                self._learn(limit_ms)
            if self._is_settled(limit_ms) or not chosen or turn == rounds - 1:
                # A slow phase of the machine can refute every candidate at once: then smaller ones are tried.
                if (best := self._confirm(limit_ms, rungs)) is not None or not chosen:
                    break
                self._learn(limit_ms)
        return best or self._last_resort(limit_ms)

    def _last_resort(self, limit_ms: float) -> Finalist | None:
        """Return the candidate of the least predicted latency, if it fits: what fits is answered.

        It fits where the median of its measurements is within the limit, without a margin. Where the machine is too
        restless to measure it, its predicted latency counts; the answer is then marked restless.
        """
        positions = np.flatnonzero(self._allowed)
        if not len(positions):
            return None
        index = int(positions[self._found.costs[positions, 0].argmin()])
        while len((smallest := self._finalist(index)).runs) < _LAST_RUNS:
            self._run([index])
        fits = smallest.typical_ms <= limit_ms
        if smallest.is_restless and smallest.predicted_ms <= limit_ms:
            fits = True
        return self.best_of([smallest]) if fits else None

    def pace(self, limit_ms: float) -> float:
        """Return measured over predicted latency near a limit, by measuring the best candidates there once."""
        self._run(self.candidates([limit_ms * share for share in _PACED], 0.0))
        if self.finalists:
            self._learn(limit_ms)
        return self._ratio

    def _next(self, limit_ms: float, turn: int) -> list[int]:
        """Return new candidates whose expected latency lies at and somewhat below the limit, the best for each aim."""
        expected = self._found.costs[:, 0] * self._ratio
        chosen: list[int] = []
        for aim in _FIRST_COSTLY if self._is_costly and turn == 0 else self._aims:
            goal = limit_ms * aim * (1.0 - self._margin) * (0.93**turn if turn > 1 else 1.0)
            best = self._best(expected <= goal, excluded=[*chosen, *self.finalists])
            if best is not None:
                chosen.append(best)
        return chosen

    def _best(self, mask: np.ndarray, excluded: Sequence[int] = ()) -> int | None:
        mask = mask & self._allowed
        mask[list(excluded)] = False
        positions = np.flatnonzero(mask)
        return int(positions[self._found.score[positions].argmax()]) if len(positions) else None

    def _learn(self, limit_ms: float) -> None:
        """Set the ratio of measured to predicted latency from the finalists nearest to the limit.

        Those of other budgets say nothing of it: a predictor errs otherwise where networks are much smaller.
        """
        known = sorted(self.finalists.values(), key=lambda f: abs(np.log(f.measured_ms / limit_ms)))[:5]
        near = [f for f in known if abs(np.log(f.measured_ms / limit_ms)) < _NEAR] or known
        self._ratio = float(np.median([f.measured_ms / f.predicted_ms for f in near]))

    def _is_settled(self, limit_ms: float) -> bool:
        """Return whether some finalist holds and none that is left promises notably more quality."""
        holding = [f.score for f in self.finalists.values() if f.holds(limit_ms, self._margin)]
        expected = self._found.costs[:, 0] * self._ratio
        best_left = self._best(expected <= limit_ms * (1.0 - self._margin), excluded=[*self.finalists])
        if not holding:
            return False
        return best_left is None or self._found.score[best_left] <= max(holding) + self._good_enough

    def _confirm(self, limit_ms: float, rungs: Sequence[float]) -> Finalist | None:
        """Return the best that holds in a second measurement too; one that does not is out."""
        missed = [rung for rung in rungs if self._uses(rung) < _USED]
        again = [index for index in self.candidates(missed, 4 * self._margin) if index not in self.finalists]
        while best := self.best_of([f for f in self.finalists.values() if f.holds(limit_ms, self._margin)]):
            if len(best.runs) > 1:
                return best
            self._run([best.index, *again])
            again = []
        return None

    def _uses(self, limit_ms: float) -> float:
        """Return the share of a limit that its best measured candidate uses."""
        best = self.best_within(limit_ms)
        return 0.0 if best is None else best.measured_ms / limit_ms

    def stop_checking(self) -> None:
        """Take predicted scores from now on where none was measured."""
        self._check = None

    def best_confirmed(self, limit_ms: float | None) -> Finalist | None:
        """Return the best that already holds in two measurements (any measured one without a limit), or None."""
        holding = [
            f
            for f in self.finalists.values()
            if self._allowed[f.index]
            and (limit_ms is None or (len(f.runs) > 1 and f.holds(limit_ms, self._margin)))
        ]
        return max(holding, key=lambda f: f.rank, default=None)

    def best_of(self, finalists: Sequence[Finalist]) -> Finalist | None:
        """Return the best of some finalists, or None of none; its score is measured where scores can be checked."""
        if self._check is None:
            return max(finalists, key=lambda f: f.rank, default=None)

        def hope(finalist: Finalist) -> float:
            return finalist.value + (self._doubt if finalist.checked is None else 0.0)

        while best := max(finalists, key=lambda f: (hope(f), *f.rank), default=None):
            if best.checked is not None:
                return best
            known = [finalist for finalist in finalists if finalist.checked is not None]
            if known and self._checking_s > _CHECK_S:
                return max(known, key=lambda f: f.rank)
            start = self._clock()
            best.checked = float(self._check(self._found.codes[[best.index]])[0])
            self._checking_s += self._clock() - start
        return None

    def _run(self, positions: Sequence[int]) -> None:
        wanted = list(dict.fromkeys(positions))
        if not wanted:
            return
        self.rounds += 1
        calm: Mapping[str, float] = {}
        for index, run in zip(wanted, self._measure(self._found.codes[wanted]), strict=True):
            finalist = self._finalist(index)
            finalist.runs.append(run)
            self.finalists[index] = finalist
            calm = run.calm
        for finalist in self.finalists.values():  # the machine may have become calmer than it was ever seen
            finalist.runs = [run.rebased(calm) for run in finalist.runs]

    def _finalist(self, index: int) -> Finalist:
        """Return the finalist at a position, one that was not measured yet with what was learnt of its score."""
        if (known := self.finalists.get(index)) is not None:
            return known
        cost, score = float(self._found.costs[index, 0]), float(self._found.score[index])
        made = Finalist(index, cost, score, statistic=self._statistic)
        return self._unmeasured.setdefault(index, made)

    # --- other budgets ------------------------------------------------------------------------------------------------

    def candidates(self, limits_ms: Sequence[float], room: float | None = None) -> list[int]:
        """Return for each limit the best candidate expected to keep it with `room` to spare, twice the margin."""
        room = 2 * self._margin if room is None else room
        expected = self._found.costs[:, 0] * self._ratio
        chosen = [self._best(expected <= limit * (1.0 - room)) for limit in limits_ms]
        return [index for index in chosen if index is not None]

    def best_within(self, limit_ms: float) -> Finalist | None:
        """Return the best measured candidate that keeps `limit_ms`, or None."""
        return self.best_of([f for f in self.finalists.values() if f.holds(limit_ms, margin=0.0)])

    def best_allowed(self, masks: Sequence[np.ndarray]) -> list[Finalist | None]:
        """Measure and return the best candidate of each mask over the evaluations, with no latency limit in mind."""
        chosen = [self._first(mask) for mask in masks]
        self._run([f.index for f in chosen if f is not None and not f.runs])
        return chosen

    def _first(self, mask: np.ndarray) -> Finalist | None:
        """Return the best candidate of a mask, as `best_of` does."""
        order = np.flatnonzero(mask)[np.argsort(-self._found.score[mask], kind="stable")]
        seen = [self._finalist(int(index)) for index in order[: 1 if self._check is None else _CHECKED]]
        return self.best_of(seen)
