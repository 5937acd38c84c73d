"""A search over a model whose output takes several programs: the number of steps and the shape found together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import Model
from nas.search import Budget, ModelTestbed, SearchConfig, new_run
from tests.conformance.families import make_supernet
from tests.search.fakes import FakeScorer, weights_of


@pytest.fixture
def bed() -> Iterator[ModelTestbed]:
    model = Model(Path("nowhere"), {"name": "steps-searched"}, make_supernet("steps"))
    scorer = FakeScorer(weights_of(model.space, 2), model.space)
    with ModelTestbed(model, get_runtime("onnxruntime"), Workload(threads=1), scorer) as bed:
        yield bed


def _request(budget: Budget) -> SearchConfig:
    return SearchConfig(budget, "steps", trials=100)


def test_a_budget_below_the_smallest_output_says_the_floor(bed: ModelTestbed, tmp_path: Path) -> None:
    outcome = new_run(_request(Budget(latency_ms=1e-4)), bed, tmp_path / "run", "steps")
    assert outcome.answer is None and outcome.infeasible
    assert "the smallest needs" in outcome.reason and "measured" in outcome.reason
    assert outcome.smallest_ms > 1e-4
    assert not (tmp_path / "run").exists()


def test_the_answer_is_measured_as_a_whole(bed: ModelTestbed, tmp_path: Path) -> None:
    smallest, largest = bed.extremes_ms()
    limit = 0.5 * (smallest + largest)
    outcome = new_run(_request(Budget(latency_ms=limit)), bed, tmp_path / "run", "steps")
    answer = outcome.answer
    assert answer is not None and answer.measured_ms is not None
    assert answer.measured_ms <= limit < largest
    assert not outcome.everything_fits
    codes = bed.space.codes([answer.subnet])
    assert answer.macs == bed.counts(codes)[0, 0]
