"""Whole searches on a testbed of formulas: what they answer, what they leave on disk, and how they are broken off."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nas._errors import NasError, UsageError
from nas._files import read_json
from nas.search import Budget, Outcome, Request, RunFolder, new_run, resume_run, stored_outcome
from nas.search._folder import free_name
from nas.search._storage import JOURNAL
from nas.search.run import round_rungs
from nas.search.study import Record
from tests.search.fakes import TOP1, FakeScorer, FakeTestbed, make_space
from tests.search.slow_search import REQUEST, make_bed

SPACE = make_space(3, 3)
LIMIT = 15.0


def search(
    path: Path, bed: FakeTestbed | None = None, budget: Budget | None = None, trials: int | None = None
) -> Outcome:
    request = Request(budget or Budget(latency_ms=LIMIT), {"model": "fake"}, trials=trials)
    return new_run(request, bed or FakeTestbed(SPACE), path, "fake")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, FakeTestbed]:
    """A finished search whose predictions are 5% too optimistic."""
    bed = FakeTestbed(SPACE, bias=lambda codes: np.full(len(codes), 1.05))
    return search(tmp_path_factory.mktemp("finished") / "run", bed), bed


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
    outcome = search(tmp_path / "run", bed, Budget(latency_ms=limit))
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
    again = search(tmp_path / "run", bed)
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
    search(tmp_path / "run", bed, trials=50)
    more = resume_run(RunFolder.open(tmp_path / "run"), bed, 80)
    assert more.trials == 80
    assert read_json(tmp_path / "run" / "run.json")["trials"] == 80


def test_an_infeasible_budget_is_answered_before_anything_is_made(tmp_path: Path) -> None:
    outcome = search(tmp_path / "run", budget=Budget(latency_ms=1.0))
    assert outcome.infeasible
    assert outcome.answer is None
    smallest = FakeTestbed(SPACE).extremes_ms()[0]
    assert outcome.smallest_ms == pytest.approx(smallest)
    assert "no subnet keeps latency ≤ 1 ms" in outcome.reason
    assert outcome.ladder
    assert outcome.to_dict()["run_dir"] is None
    assert not (tmp_path / "run").exists()


def test_an_infeasible_count_names_it_and_the_latency(tmp_path: Path) -> None:
    outcome = search(tmp_path / "run", budget=Budget(latency_ms=50.0, params=10))
    assert outcome.infeasible
    assert "parameters" in outcome.reason
    assert "ms here" in outcome.reason


def test_a_stale_profile_does_not_refuse_what_fits(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    smallest = bed.extremes_ms()[0]
    bed.extremes_ms = lambda: (smallest * 1.05, 100.0)  # type: ignore[method-assign]
    outcome = search(tmp_path / "run", bed, Budget(latency_ms=smallest * 1.03))
    assert not outcome.infeasible
    assert outcome.answer is not None


def test_everything_fits(tmp_path: Path) -> None:
    outcome = search(tmp_path / "run", budget=Budget(latency_ms=1000.0), trials=100)
    assert outcome.everything_fits
    assert "every subnet keeps latency ≤ 1 s" in outcome.reason
    assert outcome.answer is not None
    assert len(outcome.ladder) >= 3


def test_counts_alone_are_a_budget(tmp_path: Path) -> None:
    budget = Budget(macs=15_000_000, size_bytes=5_500_000)
    outcome = search(tmp_path / "run", budget=budget, trials=200)
    assert outcome.answer is not None
    assert outcome.answer.macs <= 15_000_000
    assert outcome.answer.size_bytes <= 5_500_000
    assert outcome.answer.measured_ms is not None
    assert all(rung.macs <= rung.within["macs"] for rung in outcome.ladder)


def test_measured_quality_is_searched_with_few_trials(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE, source="measured")
    outcome = search(tmp_path / "run", bed)
    assert outcome.trials == 64
    assert outcome.known_qualities == ("measured",)
    assert outcome.answer is not None
    random = SPACE.sample_codes(np.random.default_rng(0), 64)
    assert outcome.answer.quality > bed.scorer.score(random[bed.true_ms(random) <= LIMIT]).max()


@pytest.mark.parametrize("bias", [0.7, 1.3, 40.0])
def test_where_trials_are_few_the_last_are_looked_for_at_the_pace_of_now(tmp_path: Path, bias: float) -> None:
    bed = FakeTestbed(SPACE, source="measured", bias=lambda codes: np.full(len(codes), bias))
    bed.extremes_ms = lambda: (5.0, 40.0)  # type: ignore[method-assign]
    outcome = search(tmp_path / "run", bed)
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
    outcome = search(tmp_path / "run", bed)
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
    outcome = search(tmp_path / "run", slow, trials=50)
    assert outcome.answer is None
    assert not outcome.infeasible
    assert "no subnet was measured within" in outcome.reason
    assert not (tmp_path / "run" / "subnet.json").exists()


# --- folders ----------------------------------------------------------------------------------------------------------


def test_an_existing_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        search(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_run_appears_with_its_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def writing(path: Path, value: object) -> None:
        seen.append((tmp_path / "run").exists())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nas.search._folder.write_json", writing)
        RunFolder.create(tmp_path / "run", {"model": "fake"})
    assert seen == [False] and not list(tmp_path.iterdir())
    made = RunFolder.create(tmp_path / "run", {"model": "fake"})
    assert made.path == tmp_path / "run" and RunFolder.open(made.path).info["state"] == "running"
    assert [path.name for path in made.path.iterdir()] == ["run.json"]


def test_a_search_killed_before_its_description_leaves_its_name_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from nas.search import _folder\n"
        "_folder.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "_folder.RunFolder.create(Path(sys.argv[1]), {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run-1")])
    assert done.returncode == -signal.SIGKILL
    assert free_name(tmp_path, "run") == tmp_path / "run-1"
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_place_that_cannot_be_written_costs_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        NasError, match=r"cannot make .*run: .*choose a writable place with --run-dir"
    ) as caught:
        RunFolder.create(tmp_path / "file" / "run", {})
    assert str(caught.value).count("choose a writable place") == 1


def test_the_default_folder_counts_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = Request(Budget(latency_ms=LIMIT), {"model": "fake"}, trials=20)
    names = [str(new_run(request, FakeTestbed(SPACE), None, "fake-15ms").run_dir) for _ in range(2)]
    assert names == ["runs/fake-15ms-1", "runs/fake-15ms-2"]
    assert free_name(tmp_path / "runs", "fake-15ms") == tmp_path / "runs" / "fake-15ms-3"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "anyfit-run", "version"')
    with pytest.raises(NasError, match="not complete JSON"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "else"}')
    with pytest.raises(NasError, match="not of format"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "anyfit-run", "version": 99}')
    with pytest.raises(NasError, match="format version 99"):
        RunFolder.open(tmp_path)


def test_a_failed_search_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    measure = bed.measure

    def broken(codes: np.ndarray) -> list[object]:
        raise NasError("the worker died")

    bed.measure = broken  # type: ignore[assignment]
    with pytest.raises(NasError, match="the worker died"):
        search(tmp_path / "run", bed, trials=50)
    assert read_json(tmp_path / "run" / "run.json")["state"] == "failed"
    bed.measure = measure  # type: ignore[method-assign]
    assert resume_run(RunFolder.open(tmp_path / "run"), bed).answer is not None


def test_round_rungs_are_round_spread_and_apart_from_the_budget() -> None:
    assert round_rungs(1.0, 32.0, 1000.0) == [2.0, 4.0, 8.0, 16.0]
    assert round_rungs(1.0, 32.0, 8.2) == [2.0, 4.0, 16.0]
    assert round_rungs(5.0, 5.0, 100.0) == [5.0]


# --- interruptions ----------------------------------------------------------------------------------------------------


def start(path: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.search.slow_search", str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def wait_for_trials(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (path / JOURNAL).exists() and (path / JOURNAL).read_bytes().count(b'"state":1') >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} trials appeared")


def trials_of(path: Path) -> list[list[int]]:
    return Record(path, path.name, make_bed().space, REQUEST.budget, quality=TOP1).load().codes.tolist()


def test_a_killed_search_resumes_with_every_finished_trial(tmp_path: Path) -> None:
    whole = new_run(REQUEST, make_bed(), tmp_path / "whole", "fake")
    path = tmp_path / "killed"
    process = start(path)
    wait_for_trials(path, 20)
    with pytest.raises(UsageError, match="still being searched by process"):
        resume_run(RunFolder.open(path), make_bed())
    process.kill()
    process.wait()
    assert read_json(path / "run.json")["state"] == "running"
    lock = path / f"{JOURNAL}.lock"
    if not lock.is_symlink():  # it was not killed while writing: leave what that would have left
        lock.symlink_to(path / JOURNAL)
    resumed = resume_run(RunFolder.open(path), make_bed())
    assert resumed.answer == whole.answer
    assert resumed.trials == 40
    assert trials_of(path) == trials_of(tmp_path / "whole")
    assert read_json(path / "run.json")["state"] == "finished"


def test_an_interrupt_ends_with_the_best_so_far_measured(tmp_path: Path) -> None:
    path = tmp_path / "interrupted"
    process = start(path)
    wait_for_trials(path, 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    info = read_json(path / "run.json")
    assert info["state"] == "interrupted"
    assert 20 <= info["result"]["trials"] < 40
    assert info["result"]["answer"]["latency_ms"]["measured"] <= 12.0
    assert (path / "pareto.png").exists()
    resumed = resume_run(RunFolder.open(path), make_bed())
    assert resumed.trials == 40
    assert not resumed.interrupted


def test_an_interrupt_while_measuring_keeps_what_is_confirmed(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    measure = bed.measure

    def third_is_interrupted(codes: np.ndarray) -> object:
        if len(bed.measured) >= 1:
            raise KeyboardInterrupt
        return measure(codes)

    bed.measure = third_is_interrupted  # type: ignore[assignment]
    outcome = search(tmp_path / "run", bed, trials=50)
    assert outcome.interrupted
    assert outcome.answer is None
    assert "continue with --resume" in outcome.reason
    assert outcome.ladder
    assert read_json(tmp_path / "run" / "run.json")["state"] == "interrupted"


# --- what a latency is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("statistic", "factor"), [("median", 1.0), ("p90", 1.05), ("p99", 1.1)])
def test_the_budget_is_about_the_statistic(tmp_path: Path, statistic: str, factor: float) -> None:
    bed = FakeTestbed(SPACE, statistic=statistic)
    answer = search(tmp_path / "run", bed).answer
    assert answer is not None and answer.measured_ms is not None and answer.median_ms is not None
    assert answer.measured_ms == pytest.approx(factor * answer.median_ms) and answer.measured_ms <= LIMIT
    assert answer.median_ms <= LIMIT / factor
    assert answer.measured_ms >= 0.9 * LIMIT
    assert read_json(tmp_path / "run" / "run.json")["result"]["statistic"] == statistic


def test_a_restless_answer_is_marked_and_said(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE, is_restless=True, threads=2, busy=0.4)
    outcome = search(tmp_path / "run", bed)
    assert outcome.answer is not None and outcome.answer.is_restless
    (warning,) = outcome.warnings
    assert "40%" in warning and "--threads 1" in warning and "restless" in warning
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())), SPACE, TOP1, tmp_path / "run")
    assert again.answer is not None and again.answer.is_restless and again.warnings == outcome.warnings


def test_raw_figures_and_the_pace_stand_beside_calm_ones(tmp_path: Path) -> None:
    outcome = search(tmp_path / "run", FakeTestbed(SPACE, pace=1.25))
    assert outcome.answer is not None and not outcome.warnings
    value = outcome.to_dict()["answer"]
    assert value["pace"] == 1.25 and value["restless"] is False
    assert value["latency_ms"]["raw"] == pytest.approx(1.25 * value["latency_ms"]["measured"])


def test_a_doubted_profile_is_said_and_more_finalists_are_measured(tmp_path: Path) -> None:
    calm, doubted = FakeTestbed(SPACE), FakeTestbed(SPACE, doubt="this machine's profile errs by 12%")
    first, second = search(tmp_path / "calm", calm), search(tmp_path / "doubted", doubted)
    assert first.warnings == () and second.warnings == ("this machine's profile errs by 12%",)
    assert len(np.unique(np.concatenate(doubted.measured), axis=0)) > len(
        np.unique(np.concatenate(calm.measured), axis=0)
    )


@pytest.mark.parametrize("restless", [False, True])
def test_what_fits_is_answered(tmp_path: Path, restless: bool) -> None:
    """The smallest subnet fits with half a percent to spare: less than the margin, and the only one that does."""
    bed = FakeTestbed(SPACE, is_restless=restless)
    limit = 1.005 * bed.extremes_ms()[0]
    outcome = search(tmp_path / "run", bed, Budget(latency_ms=limit))
    assert outcome.answer is not None and outcome.answer.subnet == SPACE.smallest()
    assert outcome.answer.measured_ms is not None and outcome.answer.measured_ms <= limit


def test_two_threads_beside_others_are_warned_about(tmp_path: Path) -> None:
    (warning,) = search(tmp_path / "two", FakeTestbed(SPACE, threads=2, busy=0.35)).warnings
    assert "35%" in warning and "--threads 1" in warning
    assert search(tmp_path / "one", FakeTestbed(SPACE, threads=1, busy=0.35)).warnings == ()
    assert search(tmp_path / "calm", FakeTestbed(SPACE, threads=2, busy=0.05)).warnings == ()


def test_a_budget_that_asks_for_nothing_names_one_that_does(tmp_path: Path) -> None:
    outcome = search(tmp_path / "run", budget=Budget(latency_ms=1000.0))
    assert outcome.everything_fits and "--latency" in outcome.reason
