"""The pace of a machine: what reference programs tell, and what is remembered of the calm one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.latency.measuring.measure import Measurement
from nas.latency.measuring.pace import CalmLatency, is_calm, is_uneven, pace_of, rescaling, session_ms
from nas.latency.measuring.process import Burst
from nas.latency.measuring.turns import Turn, TurnPlan, collect
from tests.latency.simulated import LARGEST, SMALLEST, SimulatedMachine

CALM = {SMALLEST: 0.1, LARGEST: 1.0}


def test_the_pace_lies_between_those_of_the_reference_programs() -> None:
    now = {SMALLEST: 0.16, LARGEST: 1.3}
    assert pace_of(0.16, now, CALM) == pytest.approx(1.6)
    assert pace_of(1.3, now, CALM) == pytest.approx(1.3)
    assert pace_of(0.01, now, CALM) == pytest.approx(1.6)
    assert pace_of(50.0, now, CALM) == pytest.approx(1.3)
    middle = pace_of(0.45, now, CALM)
    assert 1.3 < middle < 1.6
    assert pace_of(0.45 / middle * middle, now, CALM) == pytest.approx(middle)
    assert pace_of(3.0, {}, {}) == 1.0 and pace_of(3.0, {SMALLEST: 0.2}, {SMALLEST: 0.1}) == 2.0


@given(
    st.floats(0.01, 100.0),
    st.floats(0.8, 3.0),
    st.floats(0.8, 3.0),
    st.floats(0.05, 5.0),
    st.floats(1.1, 50.0),
)
def test_the_pace_is_one_of_the_two_or_between_them(
    raw_ms: float, small: float, large: float, smallest: float, ratio: float
) -> None:
    calm = {SMALLEST: smallest, LARGEST: smallest * ratio}
    pace = pace_of(raw_ms, {SMALLEST: calm[SMALLEST] * small, LARGEST: calm[LARGEST] * large}, calm)
    assert min(small, large) - 1e-9 <= pace <= max(small, large) + 1e-9


def test_what_is_remembered_of_the_calm_machine() -> None:
    known = CalmLatency(1.0, "2026-01-01")
    assert known.merged(1.5, "2026-01-02") == known  # a slow hour says nothing
    assert known.merged(0.7, "2026-01-02") == CalmLatency(0.7, "2026-01-02")  # a calmer one replaces
    same = known.merged(1.02, "2026-01-02")
    assert same.ms == pytest.approx(1.01) and same.sessions == 2
    for _ in range(500):
        same = same.merged(1.0, "2026-01-03")
    assert same.ms == pytest.approx(1.0, abs=2e-3)


def test_one_lucky_burst_is_not_the_calm_pace() -> None:
    bursts = [Burst((ms,) * 3, 0.0) for ms in (0.5, *np.linspace(1.0, 1.04, 30), *np.linspace(1.5, 1.6, 20))]
    seen = session_ms(bursts)
    assert seen is not None and 0.95 < seen < 1.05
    assert session_ms([Burst((1.0,), 0.5)] * 20) is None  # every burst waited for its core
    assert session_ms(bursts[:3]) is None


def test_is_calm() -> None:
    assert is_calm({SMALLEST: 0.104, LARGEST: 1.0}, CALM)
    assert not is_calm({SMALLEST: 0.104, LARGEST: 1.2}, CALM)
    assert is_calm({}, {})


def test_paces_that_do_not_fit_together_make_a_figure_restless_and_rather_too_long() -> None:
    """The largest takes twice as long, the smallest half as long again: what is between them is anybody's guess."""
    assert not is_uneven({SMALLEST: 0.157, LARGEST: 1.38}, CALM) and not is_uneven({}, {})
    slow = {SMALLEST: Burst((0.15,) * 5, 0.0), LARGEST: Burst((2.0,) * 5, 0.0)}
    assert is_uneven({name: burst.median_ms for name, burst in slow.items()}, CALM)
    found = Measurement.from_turns([Turn(Burst((0.8,) * 5, 0.0), slow, slow)] * 8, CALM)
    assert found.is_restless and found.median_ms == pytest.approx(0.8 / 1.5)
    turns = [Turn(Burst((0.8,) * 5, 0.0), slow, slow)] * 8
    assert not Measurement.from_turns(turns, CALM, threads=2).is_restless


def test_figures_follow_when_a_calmer_machine_is_seen() -> None:
    then, now = CALM, {SMALLEST: 0.08, LARGEST: 0.9}
    assert rescaling(np.array([0.1, 1.0]), then, now) == pytest.approx([0.8, 0.9])
    assert rescaling(np.array([3.0]), {}, now) == pytest.approx([1.0])
    found = Measurement(1.0, 1.1, (0.9, 1.2), 30, 6, 0, p99_ms=1.3, raw_median_ms=1.5, calm=then)
    assert found.pace == 1.5
    calmer = found.rebased(now)
    assert calmer.median_ms == pytest.approx(0.9) and calmer.pace == pytest.approx(1.5 / 0.9)
    assert calmer.of("p90") == pytest.approx(0.99) and calmer.of("p99") == pytest.approx(1.17)
    assert found.rebased(then) is found


def test_waiting_is_estimated_where_the_system_does_not_tell() -> None:
    assert Burst((1.0, 1.0, 1.0, 1.1), None).waited_share == 0.0
    assert Burst((1.0, 1.0, 1.0, 5.0), None).waited_share == pytest.approx(3.5 / 8.0)
    assert Burst((1.0, 1.0, 1.0, 5.0), 0.0).waited_share == 0.0


def test_a_turn_in_which_the_pace_changed_is_disturbed() -> None:
    quick, slow = Burst((1.0,), 0.0), Burst((1.2,), 0.0)
    assert not Turn(quick, {"r": quick}, {"r": quick}).is_disturbed
    assert Turn(quick, {"r": quick}, {"r": slow}).is_disturbed
    assert Turn(Burst((1.0,), 0.1), {"r": quick}, {"r": quick}).is_disturbed


@pytest.mark.parametrize("slow", [1.0, 1.5])
def test_calm_figures_in_a_slow_phase(slow: float) -> None:
    """A machine that was seen calm, then is slow for good: figures are corrected, and the raw ones stand beside."""
    machine = SimulatedMachine(3, slow=slow, phase_s=(20.0, 1e9), neighbour=0.0, drift=0.0, starts_calm=True)
    programs, references = [0.15, 0.4, 0.9], {SMALLEST: 0.1, LARGEST: 1.0}
    plan = TurnPlan(budget_s=1.0, patience_s=0.5)
    before = machine.measure(programs, references, plan)
    machine.wait(1000.0)
    after = machine.measure(programs, references, plan)
    for true, calm, late in zip(programs, before, after, strict=True):
        assert calm.median_ms == pytest.approx(true, rel=0.02) and calm.pace == pytest.approx(1.0, abs=0.02)
        assert late.median_ms == pytest.approx(true, rel=0.06)
        assert late.pace == pytest.approx(1.0 if slow == 1 else 1.5, abs=0.2)
        assert late.raw_median_ms == pytest.approx(late.median_ms * late.pace)
        assert not late.is_restless


def test_where_everything_is_disturbed_the_quickest_runs_count_and_it_is_said() -> None:
    machine = SimulatedMachine(4, slow=1.0, neighbour=1.0, drift=0.0)
    found = machine.measure([2.0, 3.0], {SMALLEST: 1.0, LARGEST: 6.0}, TurnPlan(budget_s=0.5, patience_s=0.5))
    for true, one in zip((2.0, 3.0), found, strict=True):
        assert one.is_restless and one.bursts == 0 and one.disturbed >= 3
        assert one.median_ms == pytest.approx(true, rel=0.15)
        assert one.raw_p90_ms > 1.3 * true


def test_patience_waits_for_the_calm_pace() -> None:
    """What is measured in a slow phase goes on until the phase ends, if that is soon."""
    ended: list[float] = []
    for patience_s in (0.0, 30.0):
        machine = SimulatedMachine(5, neighbour=0.0, drift=0.0, starts_calm=True, phase_s=(40.0, 6.0))
        machine.measure([0.5], CALM, TurnPlan(budget_s=1.0))
        while not machine.is_slow:
            machine.wait(0.5)
        (found,) = machine.measure(
            [0.5], CALM, TurnPlan(budget_s=0.5, patience_s=patience_s, max_bursts=5000)
        )
        ended.append(abs(found.median_ms / 0.5 - 1))
    assert ended[1] < 0.01 <= ended[0] + 0.01


def test_references_run_around_every_group() -> None:
    machine = SimulatedMachine(6, slow=1.0, neighbour=0.0)
    keys = ("a", "b", "c")

    class Prober:
        def burst(self, key: str, warm: int, runs: int) -> Burst:
            ms, waited = machine.run_ms({"r": 0.3}.get(key, 30.0), 1.0, warm + runs)
            return Burst(tuple(ms[warm:].tolist()), waited)

    turns = collect(Prober(), keys, TurnPlan(max_bursts=6), ("r",), clock=lambda: machine.now_s)
    assert all(
        set(turn.before) == set(turn.after) == {"r"} for own in turns.programs.values() for turn in own
    )
    assert len(turns.references["r"]) >= 6
