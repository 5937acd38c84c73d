"""The loop: every sampler, and going on after a break exactly as without one."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nas.errors import UsageError
from nas.search import SAMPLERS, Budget, Problem
from nas.search.engine.problem import keys
from nas.search.trials.budget import COSTS
from nas.search.trials.loop import Trials, run_trials
from nas.search.trials.signals import uninterrupted
from nas.search.trials.study import Evaluations, Record
from tests.search.fakes import TOP1, FakeTestbed, make_space

BED = FakeTestbed(make_space(2, 3), source="measured")
BUDGET = Budget(latency_ms=10.0)


def costs(codes: np.ndarray) -> np.ndarray:
    return np.column_stack([BED.latency_ms(codes), BED.counts(codes)])


class Stopped(Exception):
    """Raised in place of a kill."""


def run(folder: Path, trials: Trials, stop_after: int | None = None) -> Evaluations:
    """Run, or continue, a search in `folder`; stop in the middle of the evaluation after `stop_after` others."""
    folder.mkdir(exist_ok=True)
    record = Record(folder, "run", BED.space, BUDGET, quality=TOP1)
    found = record.load()
    left = [np.inf if stop_after is None else stop_after]

    def evaluate(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left[0] -= len(codes)
        if left[0] < 0:
            raise Stopped
        return BED.scorer.score(codes), costs(codes)

    problem = Problem(BED.space, COSTS, costs, BUDGET.limits())
    run_trials(trials, problem, record, found, evaluate, lambda done, total, best: None)
    assert keys(record.load().codes) == keys(found.codes)
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_makes_the_trials_and_repeats_itself(tmp_path: Path, sampler: str) -> None:
    found = run(tmp_path / "a", Trials(24, sampler, seed=1, one_by_one=True))
    again = run(tmp_path / "b", Trials(24, sampler, seed=1, one_by_one=True))
    assert len(found) == 24
    assert keys(found.codes) == keys(again.codes)
    other = run(tmp_path / "c", Trials(24, sampler, seed=2, one_by_one=True))
    assert keys(found.codes) != keys(other.codes)


@pytest.mark.parametrize("sampler", ["anyfit", "evolution"])
@pytest.mark.parametrize("stop_after", [5, 16, 19])
def test_a_broken_search_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, sampler: str, stop_after: int
) -> None:
    trials = Trials(30, sampler, one_by_one=True)
    whole = run(tmp_path / "whole", trials)
    with pytest.raises(Stopped):
        run(tmp_path / "broken", trials, stop_after)
    continued = run(tmp_path / "broken", trials)
    assert keys(continued.codes) == keys(whole.codes)


def test_more_trials_continue_where_fewer_ended(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Trials(30, one_by_one=True))
    run(tmp_path / "parts", Trials(21, one_by_one=True))
    assert keys(run(tmp_path / "parts", Trials(30, one_by_one=True)).codes) == keys(whole.codes)


def test_optuna_samplers_go_on_from_what_is_recorded(tmp_path: Path) -> None:
    first = run(tmp_path / "run", Trials(10, "tpe", one_by_one=True))
    more = run(tmp_path / "run", Trials(14, "tpe", one_by_one=True))
    assert keys(more.codes)[:10] == keys(first.codes)
    assert len(more) == 14


def test_evolution_keeps_the_limit(tmp_path: Path) -> None:
    found = run(tmp_path / "run", Trials(120, "evolution", one_by_one=True))
    assert (found.costs[:, 0] <= 10.0).all()
    assert found.score[100:].mean() > found.score[:100].mean()


def test_wrong_requests() -> None:
    with pytest.raises(UsageError, match="choose from anyfit, tpe, nsga2, random, evolution"):
        Trials(10, "simulated-annealing")
    with pytest.raises(UsageError, match="at least 1"):
        Trials(0)


def test_an_interrupt_waits_for_what_must_not_be_broken_off() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            done.append("the end of the block")
        done.append("what comes after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the end of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize(
    ("count", "sampler", "one_by_one", "part"),
    [(64, "anyfit", True, 48), (80, "anyfit", True, 56), (10, "anyfit", True, 10), (21, "anyfit", True, 21),
     (22, "anyfit", True, 16), (250, "evolution", False, 100), (64, "tpe", True, 48)],
)  # fmt: skip
def test_the_first_part_of_the_trials_is_whole_batches(
    count: int, sampler: str, one_by_one: bool, part: int
) -> None:
    assert Trials(count, sampler, one_by_one=one_by_one).first_part().count == part
