"""Candidates read back, and the importance of dimensions among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.errors import NasError, UsageError
from nas.search import Budget, SearchConfig, new_run
from nas.search.results.candidates import read_candidates
from nas.search.results.importance import importances
from tests.app.invented import write_run
from tests.search.fakes import FakeTestbed, make_space

SPACE = make_space(2, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("candidates") / "run"
    new_run(SearchConfig(Budget(latency_ms=9.0), "fake", trials=200), FakeTestbed(SPACE), path, "fake")
    return path


def test_every_trial_is_read_back(run: Path) -> None:
    found, bed = read_candidates(run), FakeTestbed(SPACE)
    assert len(found) >= 200 and found.quality["label"] == "top-1"
    np.testing.assert_allclose(found.predicted_ms, bed.latency_ms(found.codes), atol=1e-3)
    np.testing.assert_allclose(found.value, bed.scorer.score(found.codes), rtol=1e-4)
    assert SPACE.subnet(found.choices(0)) == SPACE.from_codes(found.codes[0])
    assert (found.role == "answer").sum() == 1 and np.isfinite(found.measured_ms).sum() >= 2


def test_the_best_within_a_limit_and_the_front(run: Path) -> None:
    found = read_candidates(run)
    row = found.best_within(7.0)
    assert row is not None and found.latency_ms[row] <= 7.0
    assert found.score[row] == found.score[found.latency_ms <= 7.0].max()
    front = found.front()
    assert (np.diff(found.latency_ms[front]) > 0).all() and (np.diff(found.score[front]) > 0).all()
    assert found.best_within(0.0) is None
    assert 0 < found.hypervolume(7.0) < 1 and found.hypervolume(0.01) == 0


def test_restricted_choices_move_the_front(run: Path) -> None:
    found = read_candidates(run)
    mask = found.allowed({"stage1.block1.kernel": [3]})
    assert 0 < mask.sum() < len(found)
    place = [*found.dimensions].index("stage1.block1.kernel")
    assert (found.codes[mask, place] == 0).all()
    assert found.score[found.front(mask)].max() <= found.score[found.front()].max()
    assert found.allowed({}).all()


def test_what_is_no_run_or_damaged_costs_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        read_candidates(tmp_path)
    folder = write_run(tmp_path / "run")
    lines = (folder / "pareto.csv").read_text().splitlines()
    (folder / "pareto.csv").write_text("\n".join([*lines[:5], "1,2,3"]))
    with pytest.raises(NasError, match="is no complete table"):
        read_candidates(folder)
    (folder / "pareto.csv").unlink()
    with pytest.raises(NasError, match=r"has no pareto\.csv yet"):
        read_candidates(folder)


def test_importance_names_what_decides(tmp_path: Path) -> None:
    found = read_candidates(write_run(tmp_path / "run", 600))
    shares = importances(found)
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-6)
    assert max(shares, key=lambda name: shares[name]) in ("resolution", "stage1.depth")
    assert min(shares, key=lambda name: shares[name]) == "stage1.block1.kernel"
    assert importances(found, np.arange(len(found)) < 3) == {}
