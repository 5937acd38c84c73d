"""The promise: what is answered was measured within the budget, also where predictions are off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nas.search.engine.engine import Engine
from nas.search.engine.problem import Problem
from nas.search.trials.budget import COSTS
from nas.search.trials.finalists import MARGIN, SHARED_MARGIN, Finals
from nas.search.trials.study import Evaluations
from tests.search.fakes import FakeTestbed, make_space

LIMIT = 15.0


def make_finals(bed: FakeTestbed, count: int = 300) -> tuple[Finals, Evaluations]:
    def costs(codes: np.ndarray) -> np.ndarray:
        return np.column_stack([bed.latency_ms(codes), bed.counts(codes)])

    limits = np.array([LIMIT, np.inf, np.inf, np.inf])
    found = Evaluations.empty(bed.space)
    codes = Engine(Problem(bed.space, COSTS, costs, limits, bed.scorer.score)).ask(
        count, found.codes, found.score
    )
    codes = np.concatenate([codes, bed.space.codes([bed.space.smallest()])])
    found.extend(codes, bed.scorer.score(codes), costs(codes))
    return Finals(found, np.ones(len(found), dtype=bool), bed.measure), found


BIASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "right": lambda codes: np.ones(len(codes)),
    "optimistic": lambda codes: np.full(len(codes), 1.15),
    "pessimistic": lambda codes: np.full(len(codes), 0.85),
    "scattered": lambda codes: 1.0 + 0.08 * np.sin(np.abs(codes).sum(axis=1)),
}


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("bias", BIASES)
def test_the_answer_holds_and_is_nearly_the_best_that_does(bias: str, noise: float) -> None:
    bed = FakeTestbed(make_space(3, 3), bias=BIASES[bias], noise=noise)
    finals, found = make_finals(bed)
    answer = finals.decide(LIMIT)
    assert answer is not None
    assert len(answer.runs) >= 2
    assert all(run.median_ms * (1 + MARGIN) <= LIMIT for run in answer.runs)
    feasible = bed.true_ms(found.codes) * (1 + MARGIN) <= LIMIT
    assert answer.score >= found.score[feasible].max() - 0.25


def test_a_fresh_process_confirms_the_answer() -> None:
    bed = FakeTestbed(make_space(3, 3), noise=0.004)
    finals, found = make_finals(bed)
    answer = finals.decide(LIMIT)
    assert answer is not None
    fresh = [bed.measure(found.codes[[answer.index]])[0].median_ms for _ in range(50)]
    assert max(fresh) <= LIMIT


def test_no_answer_where_nothing_holds() -> None:
    bed = FakeTestbed(make_space(2, 2), bias=lambda codes: np.full(len(codes), 50.0))
    finals, _ = make_finals(bed)
    assert finals.decide(LIMIT) is None


def test_one_that_fails_the_second_measurement_is_out() -> None:
    bed = FakeTestbed(make_space(3, 3))
    finals, found = make_finals(bed)
    best = found.score[found.costs[:, 0] * (1 + MARGIN) <= LIMIT].max()
    slow_from_now_on: list[bool] = []

    def bias(codes: np.ndarray) -> np.ndarray:
        return np.where(bool(slow_from_now_on) & (bed.scorer.score(codes) >= best - 1e-9), 1.2, 1.0)

    bed.bias = bias
    finals._run(finals._next(LIMIT, 0))
    slow_from_now_on.append(True)
    answer = finals._confirm(LIMIT, ())
    assert answer is not None
    assert answer.score < best
    assert bed.true_ms(found.codes[[answer.index]])[0] <= LIMIT


@pytest.mark.parametrize("slow", [range(2, 3), range(2, 9), range(1, 40)])
def test_a_slow_phase_that_refutes_every_candidate_still_ends_with_an_answer(slow: range) -> None:
    bed = FakeTestbed(make_space(3, 3))
    bed.bias = lambda codes: np.full(len(codes), 1.5 if len(bed.measured) in slow else 1.0)
    finals, _ = make_finals(bed)
    answer = finals.decide(LIMIT)
    assert answer is not None and len(answer.runs) >= 2
    assert all(run.median_ms * (1 + MARGIN) <= LIMIT for run in answer.runs)


def test_the_ladder_is_measured_along_and_holds() -> None:
    bed = FakeTestbed(make_space(3, 3), bias=BIASES["optimistic"])
    finals, _ = make_finals(bed)
    rungs = [10.0, 20.0, 30.0]
    finals.decide(LIMIT, rungs)
    assert finals.rounds <= 4
    for rung in rungs:
        best = finals.best_within(rung)
        assert best is not None
        assert 0.75 * rung <= best.measured_ms <= rung


def test_a_margin_leaves_room_below_the_limit() -> None:
    bed = FakeTestbed(make_space(3, 3))
    _, found = make_finals(bed)
    answers = []
    for margin in (MARGIN, SHARED_MARGIN, 0.15):
        finals = Finals(found, np.ones(len(found), dtype=bool), bed.measure, margin=margin)
        answer = finals.decide(LIMIT)
        assert answer is not None and answer.measured_ms * (1 + margin) <= LIMIT
        answers.append(answer.value)
    assert answers == sorted(answers, reverse=True) and answers[0] > answers[-1]


# --- scores that are predicted, and can be measured -------------------------------------------------------------------


def checked_finals(bed: FakeTestbed) -> tuple[Finals, Evaluations, list[np.ndarray], Callable]:
    """Finals whose true scores stray from the predicted ones, with what was checked."""
    _, found = make_finals(bed)
    asked: list[np.ndarray] = []

    def truth(codes: np.ndarray) -> np.ndarray:
        return bed.scorer.score(codes) - np.abs(np.sin(np.abs(codes).sum(axis=1)))

    def check(codes: np.ndarray) -> np.ndarray:
        asked.append(codes)
        return truth(codes)

    allowed = np.ones(len(found), dtype=bool)
    return Finals(found, allowed, bed.measure, check=check), found, asked, truth


def test_the_answer_is_the_best_by_measured_score() -> None:
    bed = FakeTestbed(make_space(3, 3))
    finals, found, asked, truth = checked_finals(bed)
    answer = finals.decide(LIMIT, [10.0])
    assert answer is not None and answer.checked is not None and answer.value == answer.checked
    assert answer.checked == pytest.approx(truth(found.codes[[answer.index]])[0])
    for other in (f for f in finals.finalists.values() if f.holds(LIMIT) and len(f.runs) > 1):
        assert other.value <= answer.value
    holding = [f.index for f in finals.finalists.values() if f.holds(LIMIT)]
    assert answer.value == pytest.approx(truth(found.codes[holding]).max())
    rung = finals.best_within(10.0)
    assert rung is not None and rung.checked is not None
    checked = len(asked)
    finals.best_within(10.0)
    assert len(asked) == checked == len({codes.tobytes() for codes in asked})


def test_what_a_prediction_errs_by_is_tried_as_well() -> None:
    bed = FakeTestbed(make_space(3, 3))
    finals, found, asked, truth = checked_finals(bed)
    finals._doubt = 2.0  # more than the truth strays
    answer = finals.decide(LIMIT)
    assert answer is not None
    holding = [f.index for f in finals.finalists.values() if f.holds(LIMIT)]
    best = truth(found.codes[holding]).max()
    assert answer.value == pytest.approx(best)
    hopeful = [f for f in finals.finalists.values() if f.holds(LIMIT) and f.score + 2.0 > answer.value]
    assert all(f.checked is not None for f in hopeful) and len(asked) == len(hopeful)


def test_without_a_latency_limit_the_best_is_a_measured_one_too() -> None:
    bed = FakeTestbed(make_space(3, 3))
    finals, found, asked, truth = checked_finals(bed)
    within = found.costs[:, 1] <= np.median(found.costs[:, 1])
    best, none = finals.best_allowed([within, np.zeros(len(found), dtype=bool)])
    assert none is None and best is not None and best.runs and best.checked is not None
    first = np.flatnonzero(within)[np.argsort(-found.score[within], kind="stable")][:8]
    assert best.value == pytest.approx(truth(found.codes[first]).max())
    assert len(asked) <= 8 and list(finals.finalists) == [best.index]


def test_a_search_that_is_interrupted_takes_predictions() -> None:
    bed = FakeTestbed(make_space(3, 3))
    finals, _, asked, _ = checked_finals(bed)
    finals._run(finals._next(LIMIT, 0))
    finals.stop_checking()
    best = finals.best_within(LIMIT)
    assert best is not None and best.checked is None and best.value == best.score and not asked


def test_checking_ends_after_a_while_and_a_checked_one_wins() -> None:
    bed = FakeTestbed(make_space(3, 3))
    _, found, _, truth = checked_finals(bed)
    now, asked = [0.0], []

    def check(codes: np.ndarray) -> np.ndarray:
        now[0] += 11.0  # seconds
        asked.append(codes)
        return truth(codes)

    finals = Finals(
        found, np.ones(len(found), dtype=bool), bed.measure, check=check, doubt=5.0, clock=lambda: now[0]
    )
    answer = finals.decide(LIMIT, [10.0])
    assert answer is not None and answer.checked is not None and len(asked) == 2
    rung = finals.best_within(10.0)  # none of this rung was checked, so one is
    assert rung is not None and rung.checked is not None and len(asked) <= 3


def test_fewer_candidates_where_they_are_costly() -> None:
    bed = FakeTestbed(make_space(3, 3))
    allowed = np.ones(300 + 1, dtype=bool)
    counts = []
    for is_costly in (False, True):
        _, found, _, truth = checked_finals(bed)
        finals = Finals(found, allowed[: len(found)], bed.measure, check=truth, is_costly=is_costly)
        counts.append(len(finals._next(LIMIT, 0)))
        assert finals.decide(LIMIT) is not None
    assert counts[1] <= 2 < counts[0]
