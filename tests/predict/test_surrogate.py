"""Regression over a space."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nas.errors import NasError
from nas.predict import surrogate
from nas.predict.surrogate import Surrogate, _fit_pairs, errors, kendall_tau
from nas.space import Dimension, SearchSpace

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


def test_pairs_win_where_two_choices_work_together() -> None:
    rng = np.random.default_rng(0)
    codes = SPACE.sample_codes(rng, 250)
    others = SPACE.sample_codes(rng, 100)

    def truth(codes: np.ndarray) -> np.ndarray:
        return (
            1.0 + 5 * ((codes[:, 0] > 0) ^ (codes[:, 1] > 0)) + 3.0 * ((codes[:, 2] > 1) & (codes[:, 3] > 1))
        )

    fitted = Surrogate.fit(SPACE, codes, truth(codes))
    assert fitted.kind == "pairs"
    assert errors(fitted.predict(others), truth(others))["median_pct"] < 2
    again = Surrogate.from_dict(json.loads(json.dumps(fitted.to_dict())), SPACE)
    assert np.allclose(again.predict(others), fitted.predict(others))


def test_the_left_out_predictions_are_those_of_fits_without_the_sample() -> None:
    codes, y = additive(30)
    y = y + np.random.default_rng(5).normal(0, 0.3, 30)
    encoded, base = SPACE.encode(codes), np.log(y[:, None] + codes[:, :1] + 2)
    model, left_out = _fit_pairs(encoded, base, y)
    points, kernel = model.points, (3.0 + model.points @ model.points.T) ** 2
    target = (np.log(y) if model.is_log else y) - model.intercept
    # dual = (kernel + penalty)^-1 target gives the penalty back.
    penalty = float(np.median((target - kernel @ model.dual) / model.dual))
    rest = np.arange(1, 30)
    dual = np.linalg.solve(kernel[np.ix_(rest, rest)] + penalty * np.eye(29), target[rest])
    value = model.intercept + (3.0 + points[0] @ points[rest].T) ** 2 @ dual
    assert left_out[0] == pytest.approx(np.exp(value) if model.is_log else value, rel=1e-6)


def test_trees_win_where_many_choices_work_together() -> None:
    rng = np.random.default_rng(0)
    codes = SPACE.sample_codes(rng, 400)
    odd = (codes[:, 0] > 0) ^ (codes[:, 1] > 0) ^ (codes[:, 2] > 0) ^ (codes[:, 3] > 1)
    y = 1 + 5.0 * odd
    fitted = Surrogate.fit(SPACE, codes, y)
    assert fitted.kind == "trees"
    again = Surrogate.from_dict(json.loads(json.dumps(fitted.to_dict())), SPACE)
    assert np.allclose(again.predict(codes), fitted.predict(codes))


def test_trees_that_one_fold_shows_to_be_no_help_are_not_tried_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits: list[int] = []
    original = surrogate._fitted_trees

    def counted(features: np.ndarray, y: np.ndarray, seed: int) -> Any:
        fits.append(len(y))
        return original(features, y, seed)

    monkeypatch.setattr(surrogate, "_fitted_trees", counted)
    codes, y = additive(60)
    noisy = np.exp(0.6 * y + 0.05 * np.random.default_rng(0).standard_normal(len(y)))
    fitted = Surrogate.fit(SPACE, codes, noisy)
    assert fitted.kind != "trees"
    assert fitted.cv["median_pct"] > 3
    assert len(fits) == 1


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
    for damaged in (
        {},
        {**good, "ridge": {}},
        {**good, "ridge": {**good["ridge"], "choice_weight": [1.0]}},
        {**good, "kind": "oracle"},
        {**good, "kind": "pairs", "samples": {"codes": codes.tolist(), "base": [], "y": [1.0], "seed": 0}},
    ):
        with pytest.raises(NasError, match="damaged"):
            Surrogate.from_dict(damaged, SPACE)


def test_kendall() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert kendall_tau(a, a) == 1 and kendall_tau(a, -a) == -1
    assert np.isnan(kendall_tau(a, np.ones(4)))
