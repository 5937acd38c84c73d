"""Regression over a search space: predicts a subnet's latency or accuracy from its choices.

The default is a ridge regression on known features (MACs and their like) and the one-hot choices together: nearly
additive quantities need few samples that way (once-for-all's tables, and `tests/benchmarks/results`). Boosted trees are
tried only where the ridge predicts badly, and taken where cross-validation clearly prefers them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas._errors import NasError
from nas.space import SearchSpace

_FOLDS = 8
_LAMBDAS = tuple(10.0**power for power in np.arange(-3.0, 3.6, 0.5))
_BASE_WEIGHTS = (1.0, 3.0, 10.0, 30.0)
_GOOD_PCT = 3.0  # below this median error nobody asks for trees
_CLEARLY = 0.9  # trees must bring the error under this share of the ridge's

Predict = Callable[[np.ndarray], np.ndarray]


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Return Kendall's τ-b of two samples: 1 the same order, -1 the reverse; nan where one of them is constant."""
    a = np.sign(first[:, None] - first[None, :])
    b = np.sign(second[:, None] - second[None, :])
    pairs = np.sqrt(np.sum(a != 0) * np.sum(b != 0))
    return float(np.sum(a * b) / pairs) if pairs else float("nan")


def errors(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return how well `predicted` (n,) tells `true` (n,): relative and absolute errors, and Kendall's τ."""
    relative = np.abs(predicted / true - 1) * 100
    return {
        "median_pct": float(np.median(relative)),
        "within_10pct": float((relative <= 10).mean() * 100),
        "mean_abs": float(np.abs(predicted - true).mean()),
        "kendall": kendall_tau(predicted, true),
        "n": len(true),
    }


@dataclass(frozen=True)
class _Ridge:
    """A fitted ridge: weights on scaled features; `is_log` predicts the logarithm."""

    intercept: float
    base_mean: np.ndarray
    base_weight: np.ndarray
    choice_weight: np.ndarray
    is_log: bool

    def predict(self, encoded: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Return predictions (n,)."""
        values = self.intercept + (base - self.base_mean) @ self.base_weight + encoded @ self.choice_weight
        return np.exp(values) if self.is_log else values


def _fit_ridges(
    encoded: np.ndarray, base: np.ndarray, y: np.ndarray, weight: float, is_log: bool
) -> list[_Ridge]:
    """Fit one ridge for every lambda from a single decomposition."""
    target = np.log(y) if is_log else y
    base_mean, base_scale = base.mean(0), np.where(base.std(0) > 0, base.std(0), 1.0)
    encoded_mean = encoded.mean(0)
    x = np.concatenate([(base - base_mean) / base_scale * weight, encoded - encoded_mean], axis=1)
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    projected = left.T @ (target - target.mean())
    found = []
    for penalty in _LAMBDAS:
        coefficients = right.T @ (singular / (singular**2 + penalty) * projected)
        base_part, choice_part = np.split(coefficients, [base.shape[1]])
        intercept = float(target.mean() - encoded_mean @ choice_part)
        found.append(_Ridge(intercept, base_mean, base_part / base_scale * weight, choice_part, is_log))
    return found


def _folds(count: int, seed: int) -> list[np.ndarray]:
    order = np.random.default_rng(seed).permutation(count)
    return [order[start :: min(_FOLDS, count)] for start in range(min(_FOLDS, count))]


def _out_of_fold(
    folds: Sequence[np.ndarray], count: int, fit: Callable[[np.ndarray], list[Predict]]
) -> np.ndarray:
    """Return (settings, n): what each setting's fit on the other folds predicts of each sample."""
    columns: list[tuple[np.ndarray, np.ndarray]] = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(count), fold)
        columns.append((fold, np.stack([predict(fold) for predict in fit(rest)])))
    result = np.empty((len(columns[0][1]), count))
    for fold, values in columns:
        result[:, fold] = values
    return result


class Surrogate:
    """A fitted predictor over a space; `kind` is "ridge" or "trees", `cv` its cross-validated errors (see `errors`)."""

    def __init__(
        self, space: SearchSpace, model: _Ridge | None, samples: tuple | None, cv: Mapping[str, float]
    ) -> None:
        self._space = space
        self._ridge = model
        self._samples = samples
        self._trees: Any = None
        self.cv = dict(cv)
        self.kind = "trees" if model is None else "ridge"

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        codes: np.ndarray,
        y: np.ndarray,
        *,
        base: np.ndarray | None = None,
        kinds: Sequence[str] = ("ridge", "trees"),
        seed: int = 0,
    ) -> Surrogate:
        """Fit to `y` (n,), positive, of `codes` (n, dimensions); `base` (n, k) are known features such as MACs.

        Raises `NasError` for fewer than four samples or values that are not positive and finite.
        """
        y = np.asarray(y, dtype=np.float64)
        if len(y) < 4 or not (np.isfinite(y).all() and (y > 0).all()):
            raise NasError(
                f"{len(y)} samples were given; a predictor needs at least 4, all positive and finite"
            )
        base = np.zeros((len(y), 0)) if base is None else np.asarray(base, dtype=np.float64)
        encoded = space.encode(codes)
        folds = _folds(len(y), seed)
        settings = [
            (weight, is_log)
            for is_log in (False, True)
            for weight in (_BASE_WEIGHTS if base.size else (1.0,))
        ]

        def fit_all(rest: np.ndarray) -> list[Predict]:
            return [
                lambda fold, model=model: model.predict(encoded[fold], base[fold])
                for weight, is_log in settings
                for model in _fit_ridges(encoded[rest], base[rest], y[rest], weight, is_log)
            ]

        predicted = _out_of_fold(folds, len(y), fit_all)
        best = int((np.abs(predicted / y - 1) ** 1.5).mean(1).argmin())
        cv = errors(predicted[best], y)
        if "trees" in kinds and (cv["median_pct"] > _GOOD_PCT or "ridge" not in kinds):
            features = np.concatenate([base, encoded], axis=1)
            trees_cv = errors(
                _out_of_fold(folds, len(y), lambda rest: [_trees(features, y, rest, seed)])[0], y
            )
            if "ridge" not in kinds or trees_cv["median_pct"] < _CLEARLY * cv["median_pct"]:
                return cls(space, None, (np.asarray(codes), base, y, seed), trees_cv)
        weight, is_log = settings[best // len(_LAMBDAS)]
        model = _fit_ridges(encoded, base, y, weight, is_log)[best % len(_LAMBDAS)]
        return cls(space, model, None, cv)

    def predict(self, codes: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
        """Return predictions (n,) for codes (n, dimensions) and the same features as were fitted."""
        base = np.zeros((len(codes), 0)) if base is None else np.asarray(base, dtype=np.float64)
        encoded = self._space.encode(codes)
        if self._ridge is not None:
            return self._ridge.predict(encoded, base)
        if self._trees is None:
            assert self._samples is not None
            known_codes, known_base, y, seed = self._samples
            features = np.concatenate([known_base, self._space.encode(known_codes)], axis=1)
            self._trees = _fitted_trees(features, y, seed)
        return self._trees.predict(np.concatenate([base, encoded], axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object: a ridge's weights, or the samples that trees are fitted to again."""
        value: dict[str, Any] = {"kind": self.kind, "cv": self.cv}
        if self._ridge is not None:
            ridge = self._ridge
            value["ridge"] = {
                "intercept": ridge.intercept,
                "base_mean": ridge.base_mean.tolist(),
                "base_weight": ridge.base_weight.tolist(),
                "choice_weight": ridge.choice_weight.tolist(),
                "is_log": ridge.is_log,
            }
        elif self._samples is not None:
            codes, base, y, seed = self._samples
            value["samples"] = {"codes": codes.tolist(), "base": base.tolist(), "y": y.tolist(), "seed": seed}
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], space: SearchSpace) -> Surrogate:
        """Read the JSON object; a damaged one raises `NasError`."""
        try:
            if value["kind"] == "ridge":
                ridge = value["ridge"]
                names = ("base_mean", "base_weight", "choice_weight")
                mean, weight, choices = (np.array(ridge[name], dtype=float) for name in names)
                if len(choices) != len(space.features) or len(mean) != len(weight):
                    raise ValueError("its weights do not fit the search space")
                model = _Ridge(float(ridge["intercept"]), mean, weight, choices, bool(ridge["is_log"]))
                return cls(space, model, None, value["cv"])
            samples = value["samples"]
            codes = space.canonical_codes(np.array(samples["codes"]))
            base = np.array(samples["base"], dtype=float).reshape(len(codes), -1)
            return cls(
                space, None, (codes, base, np.array(samples["y"], dtype=float), samples["seed"]), value["cv"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NasError(f"the predictor is damaged ({error}); fit it again") from error


def _fitted_trees(features: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.06, min_samples_leaf=4, random_state=seed
    )
    return trees.fit(features, y)


def _trees(features: np.ndarray, y: np.ndarray, rest: np.ndarray, seed: int) -> Predict:
    trees = _fitted_trees(features[rest], y[rest], seed)
    return lambda fold: trees.predict(features[fold])
