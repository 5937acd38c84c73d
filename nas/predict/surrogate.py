"""Regression over a search space: predicts a subnet's latency or accuracy from its choices.

The default is a ridge regression on known features (MACs and their like) and the one-hot choices together: nearly
additive quantities need few samples that way (once-for-all's tables, and `tests/benchmarks/results`). A second ridge
that also knows every product of two features is taken where cross-validation clearly prefers it: on the measured table
of a CIFAR-10 supernet it brought Kendall's τ from 0.86 to 0.92. Boosted trees are tried only where both predict badly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nas.errors import NasError
from nas.space import SearchSpace

_FOLDS = 8
_LAMBDAS = tuple(10.0**power for power in np.arange(-3.0, 3.6, 0.5))
_BASE_WEIGHTS = (1.0, 3.0, 10.0, 30.0)
_GOOD_PCT = 3.0  # below this median error nobody asks for trees
# From 20 samples of a GPU's latencies trees were worse than a ridge (mean of seven GPUs), and took most of the time.
_FEWEST_FOR_TREES = 40
_HOPELESS = 1.5  # times the error that trees must come under, in one fold: then the other folds are not tried
_CLEARLY = 0.9  # trees must bring the error under this share of the simpler model's
_PAIR_WEIGHTS, _PAIR_OFFSET, _PAIR_LAMBDAS = (
    (1.0, 3.0),
    3.0,
    tuple(10.0**power for power in np.arange(-4.0, 2.1, 0.5)),
)

KINDS = ("ridge", "pairs", "trees")

Predict = Callable[[np.ndarray], np.ndarray]


class _Samples(NamedTuple):
    """What a predictor was fitted to."""

    codes: np.ndarray
    base: np.ndarray
    y: np.ndarray
    seed: int


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


@dataclass(frozen=True)
class _Pairs:
    """A fitted kernel ridge whose kernel, (offset + x·x')², spans all products of two features."""

    points: np.ndarray
    dual: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    intercept: float
    is_log: bool

    def predict(self, encoded: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Return predictions (n,)."""
        x = (np.concatenate([base, encoded], axis=1) - self.shift) * self.scale
        values = self.intercept + (_PAIR_OFFSET + x @ self.points.T) ** 2 @ self.dual
        return np.exp(values) if self.is_log else values


def _fit_pairs(encoded: np.ndarray, base: np.ndarray, y: np.ndarray) -> tuple[_Pairs, np.ndarray]:
    """Return the best fit over weights and penalties, and what fits without each sample predict of it (n,).

    One decomposition gives the leave-one-out predictions of every penalty (Rifkin & Lippert 2007).
    """
    features = np.concatenate([base, encoded], axis=1)
    shift = features.mean(0)
    spread = np.where(base.std(0) > 0, base.std(0), 1.0)
    found: list[tuple[float, _Pairs, np.ndarray]] = []
    for is_log in (False, True):
        target = np.log(y) if is_log else y
        centred = target - target.mean()
        for weight in _PAIR_WEIGHTS:
            scale = np.concatenate([weight / spread, np.ones(encoded.shape[1])])
            size = max(float((((features - shift) * scale) ** 2).sum(1).mean()), 1e-12)
            scale = scale / np.sqrt(size)
            points = (features - shift) * scale
            values, vectors = np.linalg.eigh((_PAIR_OFFSET + points @ points.T) ** 2)
            projected = vectors.T @ centred
            for penalty in _PAIR_LAMBDAS:
                inverse = 1 / (values.clip(min=0) + penalty)
                dual = vectors @ (inverse * projected)
                left_out = target - dual / ((vectors**2) @ inverse)
                predicted = np.exp(left_out) if is_log else left_out
                model = _Pairs(points, dual, shift, scale, float(target.mean()), is_log)
                found.append((_criterion(predicted, y), model, predicted))
    _, model, predicted = min(found, key=lambda entry: entry[0])
    return model, predicted


def _criterion(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return what settings are chosen by: between mean and mean square of the relative error, against outliers."""
    return float((np.abs(predicted / y - 1) ** 1.5).mean())


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
    """A fitted predictor over a space; `kind` is "ridge", "pairs" or "trees", `cv` its cross-validated errors."""

    def __init__(
        self,
        space: SearchSpace,
        kind: str,
        ridge: _Ridge | None,
        samples: _Samples | None,
        cv: Mapping[str, float],
    ) -> None:
        self._space = space
        self._samples = samples
        self._model: _Ridge | _Pairs | _Trees | None = ridge
        self.kind = kind
        self.cv = dict(cv)

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        codes: np.ndarray,
        y: np.ndarray,
        *,
        base: np.ndarray | None = None,
        kinds: Sequence[str] = KINDS,
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
        samples = _Samples(np.asarray(codes), base, y, seed)
        found: list[Surrogate] = []
        if "ridge" in kinds:
            ridge, cv = _best_ridge(encoded, base, y, seed)
            found.append(cls(space, "ridge", ridge, None, cv))
        if "pairs" in kinds:
            _, predicted = _fit_pairs(encoded, base, y)
            found.append(cls(space, "pairs", None, samples, _judged(predicted, y)))
        best = found[0] if found else None
        for other in found[1:]:
            if best is not None and other.cv["criterion"] < _CLEARLY * best.cv["criterion"]:
                best = other
        may_help = best is None or (best.cv["median_pct"] > _GOOD_PCT and len(y) >= _FEWEST_FOR_TREES)
        if "trees" in kinds and may_help:
            features = np.concatenate([base, encoded], axis=1)
            enough_pct = np.inf if best is None else _CLEARLY * best.cv["median_pct"]
            cv = _tree_errors(features, y, seed, _HOPELESS * enough_pct)
            if cv is not None and cv["median_pct"] < enough_pct:
                best = cls(space, "trees", None, samples, cv)
        assert best is not None, "kinds names at least one of ridge, pairs and trees"
        return best

    def predict(self, codes: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
        """Return predictions (n,) for codes (n, dimensions) and the same features as were fitted."""
        base = np.zeros((len(codes), 0)) if base is None else np.asarray(base, dtype=np.float64)
        return self._fitted().predict(self._space.encode(codes), base)

    def _fitted(self) -> _Ridge | _Pairs | _Trees:
        if self._model is None:
            assert self._samples is not None
            codes, base, y, seed = self._samples
            encoded = self._space.encode(codes)
            self._model = (
                _fit_pairs(encoded, base, y)[0] if self.kind == "pairs" else _Trees(encoded, base, y, seed)
            )
        return self._model

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object: a ridge's weights, or the samples that the others are fitted to again."""
        value: dict[str, Any] = {"kind": self.kind, "cv": self.cv}
        if self._samples is not None:
            codes, base, y, seed = self._samples
            value["samples"] = {"codes": codes.tolist(), "base": base.tolist(), "y": y.tolist(), "seed": seed}
        elif isinstance(ridge := self._model, _Ridge):
            value["ridge"] = {
                "intercept": ridge.intercept,
                "base_mean": ridge.base_mean.tolist(),
                "base_weight": ridge.base_weight.tolist(),
                "choice_weight": ridge.choice_weight.tolist(),
                "is_log": ridge.is_log,
            }
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], space: SearchSpace) -> Surrogate:
        """Read the JSON object; a damaged one raises `NasError`."""
        try:
            if value["kind"] not in KINDS:
                raise ValueError(f"there is no kind {value['kind']!r}")
            if value["kind"] == "ridge":
                ridge = value["ridge"]
                names = ("base_mean", "base_weight", "choice_weight")
                mean, weight, choices = (np.array(ridge[name], dtype=float) for name in names)
                if len(choices) != len(space.features) or len(mean) != len(weight):
                    raise ValueError("its weights do not fit the search space")
                model = _Ridge(float(ridge["intercept"]), mean, weight, choices, bool(ridge["is_log"]))
                return cls(space, "ridge", model, None, value["cv"])
            stored = value["samples"]
            codes = space.canonical_codes(np.array(stored["codes"]))
            base = np.array(stored["base"], dtype=float).reshape(len(codes), -1)
            samples = _Samples(codes, base, np.array(stored["y"], dtype=float), int(stored["seed"]))
            if samples.y.shape != (len(codes),):
                raise ValueError(f"{len(codes)} samples have {samples.y.size} values")
            return cls(space, value["kind"], None, samples, value["cv"])
        except (KeyError, TypeError, ValueError) as error:
            raise NasError(f"the predictor is damaged ({error}); fit it again") from error


def _judged(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return {**errors(predicted, y), "criterion": _criterion(predicted, y)}


def _best_ridge(
    encoded: np.ndarray, base: np.ndarray, y: np.ndarray, seed: int
) -> tuple[_Ridge, dict[str, float]]:
    settings = [
        (weight, is_log) for is_log in (False, True) for weight in (_BASE_WEIGHTS if base.size else (1.0,))
    ]

    def fit_all(rest: np.ndarray) -> list[Predict]:
        return [
            lambda fold, model=model: model.predict(encoded[fold], base[fold])
            for weight, is_log in settings
            for model in _fit_ridges(encoded[rest], base[rest], y[rest], weight, is_log)
        ]

    predicted = _out_of_fold(_folds(len(y), seed), len(y), fit_all)
    best = int(np.argmin([_criterion(row, y) for row in predicted]))
    weight, is_log = settings[best // len(_LAMBDAS)]
    model = _fit_ridges(encoded, base, y, weight, is_log)[best % len(_LAMBDAS)]
    return model, _judged(predicted[best], y)


def _tree_errors(
    features: np.ndarray, y: np.ndarray, seed: int, hopeless_pct: float
) -> dict[str, float] | None:
    """Return the cross-validated errors of trees; None where the first fold already shows that they are no help."""
    folds = _folds(len(y), seed)
    rest = np.setdiff1d(np.arange(len(y)), folds[0])
    first = _trees(features, y, rest, seed)
    if errors(first(folds[0]), y[folds[0]])["median_pct"] > hopeless_pct:
        return None

    def fit(rest: np.ndarray) -> list[Predict]:
        return [_trees(features, y, rest, seed)]

    predicted = _out_of_fold(folds[1:], len(y), fit)[0]
    predicted[folds[0]] = first(folds[0])
    return _judged(predicted, y)


class _Trees:
    """Boosted trees on the known features and the one-hot choices."""

    def __init__(self, encoded: np.ndarray, base: np.ndarray, y: np.ndarray, seed: int) -> None:
        self._trees = _fitted_trees(np.concatenate([base, encoded], axis=1), y, seed)

    def predict(self, encoded: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Return predictions (n,)."""
        return self._trees.predict(np.concatenate([base, encoded], axis=1))


def _fitted_trees(features: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.06, min_samples_leaf=4, random_state=seed
    )
    return trees.fit(features, y)


def _trees(features: np.ndarray, y: np.ndarray, rest: np.ndarray, seed: int) -> Predict:
    trees = _fitted_trees(features[rest], y[rest], seed)
    return lambda fold: trees.predict(features[fold])
