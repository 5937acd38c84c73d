"""Regression over a space."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nas._errors import NasError
from nas.space import Dimension, SearchSpace
from nas.space.surrogate import Surrogate, errors, kendall_tau

SPACE = SearchSpace("s", [Dimension(f"d{i}", (1, 2, 3)) for i in range(8)])


def additive(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = SPACE.sample_codes(rng, count)
    weights = np.random.default_rng(99).uniform(0, 1, len(SPACE.features))
    return codes, 5 + SPACE.encode(codes) @ weights


def test_additive_data_is_learnt_exactly() -> None:
    codes, y = additive(80)
    fitted = Surrogate.fit(SPACE, codes, y)
    others, truth = additive(50, seed=1)
    assert fitted.kind == "ridge"
    assert errors(fitted.predict(others), truth)["median_pct"] < 0.5
    assert fitted.cv["kendall"] > 0.95


def test_a_known_base_needs_few_samples() -> None:
    codes, y = additive(12)
    others, truth = additive(50, seed=1)
    fitted = Surrogate.fit(SPACE, codes, y, base=y[:, None])
    assert errors(fitted.predict(others, base=truth[:, None]), truth)["median_pct"] < 1


def test_trees_win_on_interactions() -> None:
    rng = np.random.default_rng(0)
    codes = SPACE.sample_codes(rng, 250)
    y = 1 + 5 * ((codes[:, 0] > 0) ^ (codes[:, 1] > 0)) + 3.0 * ((codes[:, 2] > 1) & (codes[:, 3] > 1))
    fitted = Surrogate.fit(SPACE, codes, y.astype(float))
    assert fitted.kind == "trees"
    again = Surrogate.from_dict(json.loads(json.dumps(fitted.to_dict())), SPACE)
    assert np.allclose(again.predict(codes), fitted.predict(codes))


def test_round_trip_and_determinism() -> None:
    codes, y = additive(40)
    first, second = Surrogate.fit(SPACE, codes, y), Surrogate.fit(SPACE, codes, y)
    again = Surrogate.from_dict(json.loads(json.dumps(first.to_dict())), SPACE)
    assert np.array_equal(first.predict(codes), second.predict(codes))
    assert np.allclose(first.predict(codes), again.predict(codes))


def test_bad_input_is_one_sentence() -> None:
    codes, y = additive(10)
    for values, rows in ((y[:3], codes[:3]), (-y, codes), (y * np.nan, codes)):
        with pytest.raises(NasError, match="at least 4"):
            Surrogate.fit(SPACE, rows, values)
    good = Surrogate.fit(SPACE, codes, y, kinds=("ridge",)).to_dict()
    for damaged in ({}, {**good, "ridge": {}}, {**good, "ridge": {**good["ridge"], "choice_weight": [1.0]}}):
        with pytest.raises(NasError, match="damaged"):
            Surrogate.from_dict(damaged, SPACE)


def test_kendall() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert kendall_tau(a, a) == 1 and kendall_tau(a, -a) == -1
    assert np.isnan(kendall_tau(a, np.ones(4)))
