"""Searches of the zoo on a machine of formulas: prediction, feasibility, what is kept, interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import UsageError
from nas.latency import Workload, get_runtime
from nas.progress import as_progress
from nas.search import Budget
from nas.zoo import SAMPLES, Forecast, Zoo, ZooProfile, ZooResult, ZooSearch, open_profile, open_zoo
from tests.zoo.simulated import SimulatedMachine

BOUND = {"runtime": "simulated", "runtime_version": "1", "workload": {"threads": 1}}


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return open_zoo("timm")


def profile_in(folder: Path) -> ZooProfile:
    return ZooProfile(folder / "zoo.json", BOUND)


def search(
    zoo: Zoo, profile: ZooProfile, machine: SimulatedMachine, limit_ms: float, **more: Any
) -> ZooResult:
    return ZooSearch(zoo, profile, machine, Budget(latency_ms=limit_ms), **more).run()


def within(zoo: Zoo, machine: SimulatedMachine, limit_ms: float) -> list[float]:
    """Return the accuracies of all models that are within a latency in truth, the best first."""
    return sorted((m.qualities["top1"] for m in zoo.models if machine.true_ms(m) <= limit_ms), reverse=True)


@pytest.fixture(scope="module")
def searched(
    zoo: Zoo, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ZooProfile, SimulatedMachine, ZooResult]:
    """A first search on a machine three times as fast as predictions begin with."""
    machine, profile = SimulatedMachine(speed=3.0), profile_in(tmp_path_factory.mktemp("zoo"))
    return profile, machine, search(zoo, profile, machine, 20.0)


def test_the_answer_is_measured_within_the_budget_and_hardly_any_is_better(zoo: Zoo, searched: Any) -> None:
    profile, machine, result = searched
    answer = result.answer
    assert answer is not None and answer.measured_ms is not None and answer.measured_ms <= 20.0
    assert machine.asked.count(answer.model.program) == 2  # once more, in a process of its own
    best = within(zoo, machine, 20.0)
    assert sum(top1 > answer.quality for top1 in best) <= 3 and best[0] - answer.quality < 0.5
    assert SAMPLES <= len(profile.timed) <= SAMPLES + 25


def test_one_disturbed_measurement_costs_a_model_nothing(zoo: Zoo, searched: Any, tmp_path: Path) -> None:
    answer = searched[2].answer.model
    machine = SimulatedMachine(
        speed=3.0, factor=lambda program, times: 1.4 if (program, times) == (answer.program, 2) else 1.0
    )
    result = search(zoo, profile_in(tmp_path), machine, 20.0)
    assert result.answer is not None and result.answer.model == answer
    assert machine.asked.count(answer.program) >= 3


def test_the_ten_best_are_measured(searched: Any) -> None:
    _, _, result = searched
    assert len(result.finalists) == 10
    assert all(entry.measured_ms is not None for entry in result.finalists)


def test_the_front_has_no_model_that_another_one_beats(searched: Any) -> None:
    _, _, result = searched
    assert all(
        a.ms <= b.ms and a.quality < b.quality for a, b in zip(result.front, result.front[1:], strict=False)
    )
    assert result.larger is not None and result.larger.ms > 20.0


def test_the_held_out_error_is_that_of_models_never_seen(zoo: Zoo, searched: Any) -> None:
    profile, machine, result = searched
    forecast = Forecast(zoo, profile, "top1")
    unseen = np.isnan(forecast.measured_ms) & (forecast.ms > 5) & (forecast.ms < 60)
    true = np.array([machine.true_ms(model) for model in forecast.models])
    error = np.median(np.abs(forecast.predicted_ms[unseen] / true[unseen] - 1)) * 100
    assert 3 < result.error["median_pct"] < 15 and error < 1.6 * result.error["median_pct"]


def test_a_later_search_measures_the_answer_alone(zoo: Zoo, searched: Any) -> None:
    profile, machine, result = searched
    before = len(machine.asked)
    again = search(zoo, profile, machine, 20.0)
    assert len(machine.asked) - before <= 6
    assert again.answer is not None and again.answer.quality >= result.answer.quality


def test_other_limits_leave_models_out(zoo: Zoo, searched: Any) -> None:
    profile, machine, _ = searched
    budget = Budget.parse("20ms", params="6M")
    found = ZooSearch(zoo, profile, machine, budget, "top5").run()
    assert found.answer is not None and all(entry.model.params <= 6e6 for entry in found.front)
    assert found.answer.quality == found.answer.model.qualities["top5"]


def test_an_interrupted_search_answers_and_is_gone_on_with(zoo: Zoo, tmp_path: Path) -> None:
    profile, notes = profile_in(tmp_path), []

    def interrupt(count: int) -> None:
        if count >= 20:
            raise KeyboardInterrupt

    hear = as_progress(lambda stage, done, total, note: notes.append(note))
    result = search(zoo, profile, SimulatedMachine(before=interrupt), 20.0, progress=hear)
    assert result.interrupted and result.answer is not None and result.samples == 20
    assert "20 models measured; the same command goes on" in result.remarks[0]
    assert any("best so far" in note for note in notes)
    later = SimulatedMachine()
    found = search(zoo, profile, later, 20.0)
    assert not found.interrupted and not set(later.asked[:40]) & {*result_programs(result)}


def result_programs(result: ZooResult) -> list[str]:
    return [entry.model.program for entry in result.front if entry.measured_ms is not None]


def test_a_model_that_cannot_be_measured_is_left_out_with_its_reason(zoo: Zoo, tmp_path: Path) -> None:
    machine = SimulatedMachine()
    best = max((m for m in zoo.models if machine.true_ms(m) <= 20.0), key=lambda m: m.qualities["top1"])
    machine.broken = {best.program: "cannot be written: no such operator"}
    result = search(zoo, profile_in(tmp_path), machine, 20.0)
    assert result.skipped == machine.broken and best.program not in result_programs(result)
    assert any(best.program in remark for remark in result.remarks)


def test_a_budget_below_the_quickest_model_is_refused_soon(zoo: Zoo, tmp_path: Path) -> None:
    machine = SimulatedMachine()
    result = search(zoo, profile_in(tmp_path), machine, 0.05)
    assert result.answer is None and "the quickest" in result.reason and "0.05 ms" not in result.reason
    assert "latency ≤ 50 us" in result.reason and len(machine.asked) < 20


def test_a_latency_is_needed_and_qualities_are_known(zoo: Zoo, tmp_path: Path) -> None:
    profile, machine = profile_in(tmp_path), SimulatedMachine()
    with pytest.raises(UsageError, match="searched within a latency, but none is given; add --latency"):
        ZooSearch(zoo, profile, machine, Budget(params=10))
    with pytest.raises(UsageError, match="no quality 'kid'; choose from top1, top5"):
        ZooSearch(zoo, profile, machine, Budget(latency_ms=10.0), "kid")
    with pytest.raises(UsageError, match="no model of the zoo timm keeps"):
        ZooSearch(zoo, profile, machine, Budget(latency_ms=10.0, params=10))


def test_a_profile_is_read_again_and_brought_to_the_calm_pace_known_now(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path))
    runtime, workload = get_runtime("onnxruntime"), Workload(threads=1)
    profile, machine = open_profile(zoo, runtime, workload), SimulatedMachine()
    model = zoo.programs["resnet18@224"]
    profile.record(machine([model]) | {"vgg11@224": "cannot be run: too large"}, machine.calm_ms())
    known = open_profile(zoo, runtime, workload)
    assert known.timed == profile.timed and known.skipped == profile.skipped
    before = known.timed["resnet18@224"].ms
    known.rebase({"smallest": 1.0, "largest": 10.0})
    assert known.timed["resnet18@224"].ms == pytest.approx(before / 2)
    profile.path.write_text("{")
    assert not open_profile(zoo, runtime, workload).timed
