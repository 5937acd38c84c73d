"""The study on disk: bulk writes, feasibility, other samplers, and what a killed writer leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.errors import NasError, UsageError
from nas.search import AnyfitSampler, Budget, Problem
from nas.search.trials.storage import JOURNAL
from nas.search.trials.study import Evaluations, Record
from tests.search.fakes import TOP1, FakeTestbed, make_space

BED = FakeTestbed(make_space(2, 2))
BUDGET = Budget(latency_ms=8.0)


def some(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = BED.space.sample_codes(np.random.default_rng(seed), count)
    return codes, BED.scorer.score(codes), np.column_stack([BED.latency_ms(codes), BED.counts(codes)])


def open_record(folder: Path, url: str | None = None) -> Record:
    return Record(folder, "a-run", BED.space, BUDGET, quality=TOP1, url=url)


def same(found: Evaluations, codes: np.ndarray, quality: np.ndarray, costs: np.ndarray) -> None:
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.score, quality)
    np.testing.assert_allclose(found.costs, costs)
    assert found.number.tolist() == list(range(len(codes)))


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    codes, quality, costs = some(30)
    record = open_record(tmp_path)
    record.append(codes[:20], quality[:20], costs[:20])
    record.append(codes[20:], quality[20:], costs[20:])
    same(record.load(), codes, quality, costs)
    same(open_record(tmp_path).load(), codes, quality, costs)


def test_the_study_is_an_ordinary_one(tmp_path: Path) -> None:
    codes, quality, costs = some(40)
    open_record(tmp_path).append(codes, quality, costs)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    study = optuna.load_study(study_name="a-run", storage=storage)
    assert study.metric_names == ["top1", "latency_ms"]
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE]
    assert study.trials[3].params == dict(BED.space.from_codes(codes[3]))
    assert study.trials[3].user_attrs["macs"] == int(costs[3, 1])
    assert study.trials[3].constraints == {"latency_ms": pytest.approx(costs[3, 0] - 8.0)}
    feasible = costs[:, 0] <= 8.0
    assert feasible.any()
    assert not feasible.all()
    assert study.best_trials
    assert all(trial.values[1] <= 8.0 for trial in study.best_trials)
    assert max(trial.values[0] for trial in study.best_trials) == pytest.approx(quality[feasible].max())


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    codes, quality, costs = some(10)
    open_record(tmp_path).append(codes[:6], quality[:6], costs[:6])
    with open(tmp_path / JOURNAL, "ab") as file:
        file.write(b'{"op_code": 4, "worker')
    record = open_record(tmp_path)
    record.append(codes[6:], quality[6:], costs[6:])
    same(open_record(tmp_path).load(), codes, quality, costs)


def test_any_optuna_storage_will_do(tmp_path: Path) -> None:
    codes, quality, costs = some(3)
    url = f"sqlite:///{tmp_path}/study.db"
    open_record(tmp_path, url).append(codes, quality, costs)
    same(open_record(tmp_path, url).load(), codes, quality, costs)
    assert not (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize("url", ["nonsense", "mysterydb://here/x", "sqlite:////no/such/folder/study.db"])
def test_a_wrong_storage_is_one_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError) as error:
        open_record(tmp_path, url)
    assert url in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_of_another_space_is_refused(tmp_path: Path) -> None:
    open_record(tmp_path)
    other = make_space(1, 2)
    with pytest.raises(NasError, match="searches the space"):
        Record(tmp_path, "a-run", other, BUDGET, quality=TOP1)


@pytest.mark.parametrize("directions", [["maximize"], ["minimize"], ["maximize", "minimize"]])
def test_our_sampler_is_an_optuna_sampler(directions: list[Any]) -> None:
    def costs(codes: np.ndarray) -> np.ndarray:
        return BED.latency_ms(codes)[:, None]

    problem = Problem(BED.space, ("latency_ms",), costs, np.array([8.0]))
    sign = 1.0 if directions[0] == "maximize" else -1.0
    found: list[float] = []

    def objective(trial: optuna.Trial) -> list[float]:
        codes = BED.space.codes([BED.space.suggest(trial)])
        quality = float(BED.scorer.score(codes)[0])
        if costs(codes)[0, 0] <= 8.0:
            found.append(quality)
        return [sign * quality, costs(codes)[0, 0]][: len(directions)]

    study = optuna.create_study(directions=directions, sampler=AnyfitSampler(problem, first=8, batch=4))
    study.optimize(objective, n_trials=24)
    random = BED.space.sample_codes(np.random.default_rng(0), 24)
    random = random[costs(random)[:, 0] <= 8.0]
    assert max(found) > BED.scorer.score(random).max()
    if len(directions) == 1:
        assert len(found) == 24  # with one objective no trial is spent over the limit
        assert len({str(sorted(trial.params.items())) for trial in study.trials}) == 24


def test_our_sampler_goes_on_when_the_space_is_exhausted() -> None:
    space = make_space(1, 1)
    bed = FakeTestbed(space)
    problem = Problem(
        space, ("latency_ms",), lambda codes: bed.latency_ms(codes)[:, None], np.array([np.inf])
    )
    study = optuna.create_study(direction="maximize", sampler=AnyfitSampler(problem))
    study.optimize(lambda trial: float(bed.scorer.score(space.codes([space.suggest(trial)]))[0]), n_trials=20)
    assert len(study.trials) == 20
    assert len({str(trial.params) for trial in study.trials}) == space.size
