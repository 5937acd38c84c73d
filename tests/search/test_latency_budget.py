"""What a latency budget is about: the statistic, the calm pace, and what is said where figures are doubted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nas.files import read_json
from nas.search import Budget, Outcome
from tests.search.fakes import LIMIT, SPACE, TOP1, FakeTestbed, searched


@pytest.mark.parametrize(("statistic", "factor"), [("median", 1.0), ("p90", 1.05), ("p99", 1.1)])
def test_the_budget_is_about_the_statistic(tmp_path: Path, statistic: str, factor: float) -> None:
    bed = FakeTestbed(SPACE, statistic=statistic)
    answer = searched(tmp_path / "run", bed).answer
    assert answer is not None and answer.measured_ms is not None and answer.median_ms is not None
    assert answer.measured_ms == pytest.approx(factor * answer.median_ms) and answer.measured_ms <= LIMIT
    assert answer.median_ms <= LIMIT / factor
    assert answer.measured_ms >= 0.9 * LIMIT
    assert read_json(tmp_path / "run" / "run.json")["result"]["statistic"] == statistic


def test_a_restless_answer_is_marked_and_said(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE, is_restless=True, threads=2, busy=0.4)
    outcome = searched(tmp_path / "run", bed)
    assert outcome.answer is not None and outcome.answer.is_restless
    (warning,) = outcome.warnings
    assert "40%" in warning and "--threads 1" in warning and "restless" in warning
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())), SPACE, TOP1, tmp_path / "run")
    assert again.answer is not None and again.answer.is_restless and again.warnings == outcome.warnings


def test_raw_figures_and_the_pace_stand_beside_calm_ones(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "run", FakeTestbed(SPACE, pace=1.25))
    assert outcome.answer is not None and not outcome.warnings
    value = outcome.to_dict()["answer"]
    assert value["pace"] == 1.25 and value["restless"] is False
    assert value["latency_ms"]["raw"] == pytest.approx(1.25 * value["latency_ms"]["measured"])


def test_a_doubted_profile_is_said_and_more_finalists_are_measured(tmp_path: Path) -> None:
    calm, doubted = FakeTestbed(SPACE), FakeTestbed(SPACE, doubt="this machine's profile errs by 12%")
    first, second = searched(tmp_path / "calm", calm), searched(tmp_path / "doubted", doubted)
    assert first.warnings == () and second.warnings == ("this machine's profile errs by 12%",)
    assert len(np.unique(np.concatenate(doubted.measured), axis=0)) > len(
        np.unique(np.concatenate(calm.measured), axis=0)
    )


@pytest.mark.parametrize("restless", [False, True])
def test_what_fits_is_answered(tmp_path: Path, restless: bool) -> None:
    """The smallest subnet fits with half a percent to spare: less than the margin, and the only one that does."""
    bed = FakeTestbed(SPACE, is_restless=restless)
    limit = 1.005 * bed.extremes_ms()[0]
    outcome = searched(tmp_path / "run", bed, Budget(latency_ms=limit))
    assert outcome.answer is not None and outcome.answer.subnet == SPACE.smallest()
    assert outcome.answer.measured_ms is not None and outcome.answer.measured_ms <= limit


def test_two_threads_beside_others_are_warned_about(tmp_path: Path) -> None:
    (warning,) = searched(tmp_path / "two", FakeTestbed(SPACE, threads=2, busy=0.35)).warnings
    assert "35%" in warning and "--threads 1" in warning
    assert searched(tmp_path / "one", FakeTestbed(SPACE, threads=1, busy=0.35)).warnings == ()
    assert searched(tmp_path / "calm", FakeTestbed(SPACE, threads=2, busy=0.05)).warnings == ()


def test_a_budget_that_asks_for_nothing_names_one_that_does(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "run", budget=Budget(latency_ms=1000.0))
    assert outcome.everything_fits and "--latency" in outcome.reason
