"""The search of a zoo: models are measured until the predictor knows this machine, then the best ones are.

Everything that is measured is on disk after a minute at most. Interrupted, a search answers with the best so far, and
the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol

import numpy as np

from nas.errors import UsageError
from nas.latency import Measurement, format_ms
from nas.progress import Progress
from nas.search import Budget
from nas.zoo import design
from nas.zoo.facts import PublishedModel, Zoo
from nas.zoo.forecast import Forecast
from nas.zoo.profile import ZooProfile
from nas.zoo.result import ZooResult

SAMPLES = 60
"""Models of a zoo profile."""
FINALISTS = 10
"""The best models within the budget that are all measured."""
MARGIN = 0.02  # a measured latency counts as within the budget this much below it
_BATCH = 5  # models measured together
_LONGEST_S = 480.0  # of profiling in one search; the next one goes on
_ROUNDS = 4  # of finalists
_LATER_S = 12.0  # that finalists of a later search may take before a last round


class Timer(Protocol):
    """What measures models: `nas.zoo.ModelTimer`."""

    def calm_ms(self) -> Mapping[str, float]:
        """Return the calm latencies of the reference programs, in ms, as far as they are known."""
        ...

    def __call__(self, models: Sequence[PublishedModel]) -> Mapping[str, Measurement | str]:
        """Return a measurement of each model by its program, or the reason why there is none."""
        ...


class ZooSearch:
    """Finds the best published model within a latency.

    Args:
        zoo: The models.
        profile: What is known of them on this machine; it grows.
        timer: What measures.
        budget: Its latency is needed; other limits leave models out.
        quality: The accuracy that is maximised.
        progress: Hears how many models are measured, with the best so far.
        clock: Seconds.

    Raises:
        UsageError: No latency in the budget, an unknown quality, or limits that no model keeps.
    """

    def __init__(
        self,
        zoo: Zoo,
        profile: ZooProfile,
        timer: Timer,
        budget: Budget,
        quality: str = "top1",
        progress: Progress | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if budget.latency_ms is None:
            raise UsageError(
                f"the zoo {zoo.name} is searched within a latency, but none is given; add --latency 20ms"
            )
        self._zoo, self._profile, self._timer = zoo, profile, timer
        self._budget, self._quality, self._limit = budget, quality, budget.latency_ms
        self._progress, self._clock = progress or Progress(), clock
        self._is_first = len(profile.timed) < SAMPLES
        self._confirmed: set[str] = set()
        profile.rebase(timer.calm_ms())
        if not self._forecast().models:
            raise UsageError(
                f"no model of the zoo {zoo.name} keeps {budget}; raise the limits other than latency"
            )

    def run(self) -> ZooResult:
        """Measure what is missing and return the answer; interrupted, the best so far."""
        try:
            self._measure_samples()
            if not self._is_hopeless():
                self._measure_finalists()
            self._confirm()
        except KeyboardInterrupt:
            return self._result(interrupted=True)
        return self._result()

    def _forecast(self) -> Forecast:
        return Forecast(self._zoo, self._profile, self._quality, self._budget)

    def _measure(self, forecast: Forecast, indices: Sequence[int]) -> None:
        found = self._timer([forecast.models[index] for index in indices])
        self._profile.record(found, self._timer.calm_ms())

    def _measure_samples(self) -> None:
        """Bring the profile to `SAMPLES` models, as far as there are as many near the budget."""
        end = self._clock() + _LONGEST_S
        tell = self._progress.steps("measuring published models") if self._is_first else None
        while len(self._profile.timed) < SAMPLES and self._clock() < end:
            forecast = self._forecast()
            if tell:
                tell(len(self._profile.timed), SAMPLES, self._so_far(forecast))
            if self._is_hopeless(forecast):
                return
            count = min(_BATCH, SAMPLES - len(self._profile.timed))
            first = design.quickest(forecast, self._limit)
            chosen = [*first, *design.next_samples(forecast, self._limit, count)]
            if not chosen:
                return
            self._measure(forecast, list(dict.fromkeys(chosen))[:_BATCH])

    def _is_hopeless(self, forecast: Forecast | None = None) -> bool:
        """Whether what is expected to be the quickest model of all was measured, and is over the budget."""
        forecast = forecast or self._forecast()
        left = np.where(forecast.usable, forecast.ms, np.inf)
        index = int(left.argmin())
        return left[index] > self._limit and not np.isnan(forecast.measured_ms[index])

    def _measure_finalists(self) -> None:
        """Measure the best models that are predicted to be within the budget, until all of the first ten are."""
        began = self._clock()
        tell = self._progress.steps("measuring finalists")
        for _ in range(_ROUNDS):
            forecast = self._forecast()
            chosen = design.next_finalists(forecast, self._limit, FINALISTS, _BATCH)
            if not chosen or (not self._is_first and self._clock() - began > _LATER_S):
                return
            best = forecast.best(self._limit, FINALISTS)
            done = sum(not np.isnan(forecast.measured_ms[index]) for index in best)
            tell(done, len(best), self._so_far(forecast))
            self._measure(forecast, chosen)

    def _confirm(self) -> None:
        """Measure the best again, in a process of its own, until one is within the budget there too.

        Where two measurements differ a third one decides: a restless moment has cost a good model nothing.
        """
        tell = self._progress.steps("measuring the answer again")
        for number in range(FINALISTS):
            forecast = self._forecast()
            if uneven := self._uneven(forecast):
                self._measure(forecast, uneven[:_BATCH])
                continue
            held = self._held(forecast)
            if held is None or forecast.models[held].program in self._confirmed:
                return
            tell(number, 0)
            self._confirmed.add(forecast.models[held].program)
            self._measure(forecast, [held])

    def _uneven(self, forecast: Forecast) -> list[int]:
        """Return models whose two measurements lie on both sides of the budget, or far from each other within it."""
        timed = self._profile.timed
        known = ((index, timed.get(model.program)) for index, model in enumerate(forecast.models))
        return [index for index, own in known if own and own.is_uneven and min(own.runs_ms) <= self._limit]

    def _held(self, forecast: Forecast) -> int | None:
        """Return the best model whose measurements are all within the budget, with a margin for the machine's noise."""
        inside = forecast.usable & (forecast.measured_ms * (1.0 + MARGIN) <= self._limit)
        positions = np.flatnonzero(inside)
        order = np.lexsort((forecast.measured_ms[positions], -forecast.quality[positions]))
        return int(positions[order[0]]) if len(order) else None

    def _so_far(self, forecast: Forecast) -> str:
        held = self._held(forecast)
        error = forecast.error.get("median_pct")
        words = [] if error is None else [f"predictions err by {error:.0f}%"]
        if held is not None:
            entry = forecast.entry(held)
            words.insert(0, f"best so far {entry.model.name}, {entry.quality:.1f}% in {format_ms(entry.ms)}")
        return "; ".join(words)

    def _result(self, interrupted: bool = False) -> ZooResult:
        forecast = self._forecast()
        held = self._held(forecast)
        if held is not None and not interrupted and forecast.models[held].program not in self._confirmed:
            held = None
        return ZooResult.of(forecast, self._zoo.name, self._quality, self._budget, held, interrupted)


__all__ = ["FINALISTS", "SAMPLES", "Timer", "ZooSearch"]
