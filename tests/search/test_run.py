"""Whole searches on a testbed of formulas: what they answer, what they leave on disk, and how they are broken off."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from nas.files import read_json
from nas.search import Budget, Outcome, RunFolder, resume_run, stored_outcome
from nas.search.trials.study import Record
from tests.search.fakes import LIMIT, SPACE, TOP1, FakeScorer, FakeTestbed, searched


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, FakeTestbed]:
    """A finished search whose predictions are 5% too optimistic."""
    bed = FakeTestbed(SPACE, bias=lambda codes: np.full(len(codes), 1.05))
    return searched(tmp_path_factory.mktemp("finished") / "run", bed), bed


def test_the_answer_is_measured_within_the_budget(finished: tuple[Outcome, FakeTestbed]) -> None:
    outcome, bed = finished
    answer = outcome.answer
    assert answer is not None
    assert answer.measured_ms is not None
    assert answer.measured_ms <= LIMIT
    codes = SPACE.codes([answer.subnet])
    assert answer.measured_ms == pytest.approx(bed.true_ms(codes)[0])
    assert answer.predicted_ms == pytest.approx(bed.latency_ms(codes)[0])
    assert [answer.macs, answer.params, answer.size_bytes] == bed.counts(codes)[0].tolist()
    random = SPACE.sample_codes(np.random.default_rng(0), 3000)
    assert answer.quality >= bed.scorer.score(random[bed.true_ms(random) <= LIMIT]).max()


def test_the_json_object(finished: tuple[Outcome, FakeTestbed]) -> None:
    outcome, _ = finished
    value = json.loads(json.dumps(outcome.to_dict()))
    assert value["budget"] == {"latency_ms": LIMIT}
    assert value["run_dir"] == str(outcome.run_dir)
    answer = value["answer"]
    assert set(answer) >= {"subnet", "quality", "latency_ms", "macs", "params"}
    assert answer["quality"]["name"] == "top1"
    assert answer["quality"]["source"] == "predicted"
    assert set(answer["latency_ms"]) >= {"predicted", "measured"}
    assert SPACE.from_dict(answer["subnet"]) == outcome.answer.subnet if outcome.answer else False
    assert value["smallest_latency_ms"] < LIMIT < value["largest_latency_ms"]


def test_the_ladder_holds_too(finished: tuple[Outcome, FakeTestbed]) -> None:
    outcome, _ = finished
    assert len(outcome.ladder) >= 3
    for rung in outcome.ladder:
        assert rung.measured_ms is not None
        assert rung.measured_ms <= rung.within["latency_ms"]
    latencies = [rung.measured_ms for rung in outcome.ladder]
    assert latencies == sorted(latencies, key=lambda ms: ms or 0)
    assert len({rung.subnet for rung in outcome.ladder}) == len(outcome.ladder)


def test_the_ladder_does_not_name_the_answer_again(tmp_path: Path) -> None:
    limit = 12.0
    bed = FakeTestbed(SPACE)
    # What is larger than the answer takes far longer than predicted, and misses its rung.
    bed.bias = lambda codes: np.where(bed.latency_ms(codes) > 1.02 * limit, 3.0, 1.0)
    outcome = searched(tmp_path / "run", bed, Budget(latency_ms=limit))
    assert outcome.answer is not None
    assert outcome.answer.subnet not in {rung.subnet for rung in outcome.ladder}


def test_the_run_folder(finished: tuple[Outcome, FakeTestbed]) -> None:
    outcome, bed = finished
    folder = outcome.run_dir
    assert folder is not None
    assert outcome.answer is not None
    assert SPACE.read(folder / "subnet.json") == outcome.answer.subnet
    assert (folder / "model.onnx").read_text() == outcome.answer.subnet.to_json()
    info = read_json(folder / "run.json")
    assert info["state"] == "finished"
    assert info["result"] == json.loads(json.dumps(outcome.to_dict()))
    assert len(Record(folder, "run", SPACE, outcome.budget, quality=TOP1).load()) == outcome.trials == 500
    assert (folder / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert (
        b"latency (ms)" in (folder / "pareto.svg").read_bytes()
        or b"<svg" in (folder / "pareto.svg").read_bytes()
    )
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    with open(folder / "pareto.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = [row for row in rows if row["role"] == "answer"]
    assert len(answers) == 1
    assert float(answers[0]["measured_latency_ms"]) == pytest.approx(outcome.answer.measured_ms, abs=1e-3)
    assert sum(bool(row["measured_latency_ms"]) for row in rows) == len(info["finalists"])
    assert all(float(row["predicted_latency_ms"]) <= LIMIT for row in rows if row["feasible"] == "1")
    assert len(bed.measured) >= 2


def test_same_seed_same_answer(finished: tuple[Outcome, FakeTestbed], tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE, bias=lambda codes: np.full(len(codes), 1.05))
    again = searched(tmp_path / "run", bed)
    assert again.answer == finished[0].answer
    assert again.ladder == finished[0].ladder


def test_a_finished_run_is_shown_again_without_work(finished: tuple[Outcome, FakeTestbed]) -> None:
    outcome, bed = finished
    assert outcome.run_dir is not None
    folder = RunFolder.open(outcome.run_dir)
    stored = stored_outcome(folder, bed, None)
    assert stored is not None
    assert stored.answer is not None
    assert outcome.answer is not None
    assert stored.answer.subnet == outcome.answer.subnet
    assert stored.ladder == tuple(stored.ladder)
    assert stored_outcome(folder, bed, 600) is None


def test_a_finished_run_takes_more_trials(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    searched(tmp_path / "run", bed, trials=50)
    more = resume_run(RunFolder.open(tmp_path / "run"), bed, 80)
    assert more.trials == 80
    assert read_json(tmp_path / "run" / "run.json")["trials"] == 80


def test_an_infeasible_budget_is_answered_before_anything_is_made(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "run", budget=Budget(latency_ms=1.0))
    assert outcome.infeasible
    assert outcome.answer is None
    smallest = FakeTestbed(SPACE).extremes_ms()[0]
    assert outcome.smallest_ms == pytest.approx(smallest)
    assert "no subnet keeps latency ≤ 1 ms" in outcome.reason
    assert outcome.ladder
    assert outcome.to_dict()["run_dir"] is None
    assert not (tmp_path / "run").exists()


def test_an_infeasible_count_names_it_and_the_latency(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "run", budget=Budget(latency_ms=50.0, params=10))
    assert outcome.infeasible
    assert "parameters" in outcome.reason
    assert "ms here" in outcome.reason


def test_a_stale_profile_does_not_refuse_what_fits(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    smallest = bed.extremes_ms()[0]
    bed.extremes_ms = lambda: (smallest * 1.05, 100.0)  # type: ignore[method-assign]
    outcome = searched(tmp_path / "run", bed, Budget(latency_ms=smallest * 1.03))
    assert not outcome.infeasible
    assert outcome.answer is not None


def test_everything_fits(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "run", budget=Budget(latency_ms=1000.0), trials=100)
    assert outcome.everything_fits
    assert "every subnet keeps latency ≤ 1 s" in outcome.reason
    assert outcome.answer is not None
    assert len(outcome.ladder) >= 3


def test_counts_alone_are_a_budget(tmp_path: Path) -> None:
    budget = Budget(macs=15_000_000, size_bytes=5_500_000)
    outcome = searched(tmp_path / "run", budget=budget, trials=200)
    assert outcome.answer is not None
    assert outcome.answer.macs <= 15_000_000
    assert outcome.answer.size_bytes <= 5_500_000
    assert outcome.answer.measured_ms is not None
    assert all(rung.macs <= rung.within["macs"] for rung in outcome.ladder)


def test_measured_quality_is_searched_with_few_trials(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE, source="measured")
    outcome = searched(tmp_path / "run", bed)
    assert outcome.trials == 64
    assert outcome.known_qualities == ("measured",)
    assert outcome.answer is not None
    random = SPACE.sample_codes(np.random.default_rng(0), 64)
    assert outcome.answer.quality > bed.scorer.score(random[bed.true_ms(random) <= LIMIT]).max()


@pytest.mark.parametrize("bias", [0.7, 1.3, 40.0])
def test_where_trials_are_few_the_last_are_looked_for_at_the_pace_of_now(tmp_path: Path, bias: float) -> None:
    bed = FakeTestbed(SPACE, source="measured", bias=lambda codes: np.full(len(codes), bias))
    bed.extremes_ms = lambda: (5.0, 40.0)  # type: ignore[method-assign]
    outcome = searched(tmp_path / "run", bed)
    info = read_json(tmp_path / "run" / "run.json")
    assert info["pace"] == pytest.approx(bias) and outcome.trials == 64
    record = Record(tmp_path / "run", "run", SPACE, outcome.budget, quality=TOP1).load()
    predicted = record.costs[48:, 0]
    smallest = bed.latency_ms(SPACE.codes([SPACE.smallest()]))[0]
    near = max(LIMIT / bias, smallest) * 1.06
    known = SPACE.sample_codes(np.random.default_rng(0), 100_000)
    within = np.unique(known[bed.latency_ms(known) <= near], axis=0)
    if len(within) < len(
        predicted
    ):  # too few to fill the last trials: then all of them, and what lies nearest
        assert {row.tobytes() for row in within} <= {row.tobytes() for row in record.codes}
        assert np.quantile(predicted, 0.7) <= smallest * 1.2
    else:
        assert 0.8 * near <= np.quantile(predicted, 0.7) <= near
    if bias < 40:
        assert outcome.answer is not None and outcome.answer.measured_ms is not None
        assert outcome.answer.measured_ms <= LIMIT
    again = resume_run(RunFolder.open(tmp_path / "run"), bed, 72)
    assert again.trials == 72 and read_json(tmp_path / "run" / "run.json")["pace"] == info["pace"]


def test_predicted_quality_of_finalists_is_measured_where_it_can_be(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    bed.scorer.check = FakeScorer(bed.scorer.weights * 0.97, SPACE, "measured", data="8 latents")
    outcome = searched(tmp_path / "run", bed)
    assert outcome.known_qualities == ("predicted", "measured")
    for choice in (outcome.answer, *outcome.ladder):
        assert choice is not None and choice.measured is not None and choice.source == "measured"
        codes = SPACE.codes([choice.subnet])
        assert choice.quality == pytest.approx(bed.scorer.check.score(codes)[0])
        assert choice.predicted == pytest.approx(bed.scorer.score(codes)[0])
    with open(tmp_path / "run" / "pareto.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    answer = next(row for row in rows if row["role"] == "answer")
    assert outcome.answer is not None
    assert answer["quality_source"] == "measured"
    assert float(answer["top1"]) == pytest.approx(outcome.answer.quality, rel=1e-4)
    assert {row["quality_source"] for row in rows if row["role"] == "candidate"} == {"predicted"}
    stored = stored_outcome(RunFolder.open(tmp_path / "run"), bed, None)
    assert stored is not None and stored.answer is not None
    assert (stored.answer.source, stored.known_qualities) == ("measured", outcome.known_qualities)


def test_no_measured_answer_says_so(tmp_path: Path) -> None:
    slow = FakeTestbed(SPACE, bias=lambda codes: np.full(len(codes), 40.0))
    slow.extremes_ms = lambda: (5.0, 40.0)  # type: ignore[method-assign]
    outcome = searched(tmp_path / "run", slow, trials=50)
    assert outcome.answer is None
    assert not outcome.infeasible
    assert "no subnet was measured within" in outcome.reason
    assert not (tmp_path / "run" / "subnet.json").exists()
