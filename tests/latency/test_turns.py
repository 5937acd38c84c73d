"""Statistics of noisy measurements, on invented bursts and clocks."""

from __future__ import annotations

import numpy as np
import pytest

from nas.latency.measuring.measure import Measurement
from nas.latency.measuring.process import Burst
from nas.latency.measuring.statistics import median_interval, undisturbed
from nas.latency.measuring.turns import TurnPlan, collect, kept


class FakeProber:
    """Programs of known latency; every `disturbed`-th burst is three times slower."""

    def __init__(self, latency_ms: dict[str, float], noise: float = 0.004, disturbed: int = 0) -> None:
        self._latency_ms = latency_ms
        self._rng = np.random.default_rng(0)
        self._noise = noise
        self._disturbed = disturbed
        self.order: list[str] = []

    def burst(self, key: str, warm: int, runs: int) -> Burst:
        self.order.append(key)
        slow = 3.0 if self._disturbed and len(self.order) % self._disturbed == 0 else 1.0
        ms = self._latency_ms[key] * slow * (1 + self._noise * np.abs(self._rng.standard_normal(runs)))
        return Burst(tuple(ms.tolist()))


def test_disturbed_bursts_are_found() -> None:
    assert undisturbed([1.0, 1.01, 1.02, 3.0, 1.0]) == [True, True, True, False, True]


def test_the_interval_holds_the_median() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        low, high = median_interval(rng.exponential(size=25).tolist())
        hits += low <= np.log(2) <= high
    assert hits >= 185


@pytest.mark.parametrize("disturbed", [0, 4])
def test_medians_are_right_however_often_a_burst_is_disturbed(disturbed: int) -> None:
    truth = {"a": 1.0, "b": 2.5, "c": 0.3}
    prober = FakeProber(truth, disturbed=disturbed)
    turns = collect(prober, truth, TurnPlan()).programs
    for key, ms in truth.items():
        found = Measurement.from_turns(turns[key])
        assert found.median_ms == pytest.approx(ms, rel=0.02)
        assert found.median_ms <= found.p90_ms
        assert found.ci_ms[0] <= found.median_ms <= found.ci_ms[1]
    assert any(len(kept(t)) < len(t) for t in turns.values()) == bool(disturbed)


def test_programs_take_turns() -> None:
    prober = FakeProber({"a": 1.0, "b": 1.0, "r": 0.5})
    collect(prober, ("a", "b"), TurnPlan(), ("r",))
    turns = "".join(prober.order).removeprefix("rraabb")  # first each is run a few times
    assert turns.startswith("r") and turns.endswith("r")
    assert all(set(turn) == {"a", "b"} for turn in turns.strip("r").split("r"))


def test_a_budget_of_time_ends_it() -> None:
    seconds = iter(range(1000))
    prober = FakeProber({"a": 1.0, "b": 1.0}, noise=0.5)
    turns = collect(
        prober, ("a", "b"), TurnPlan(budget_s=5.0, max_bursts=500), clock=lambda: float(next(seconds))
    )
    assert all(3 <= len(found) <= 6 for found in turns.programs.values())
