"""Predicts how long a network takes from what it computes, with how far it may be off.

Every kind of operation has a cost on a machine, none of them negative: least squares of relative errors, drawn towards
costs that are usual for one core, so that a few measured models are enough to begin with. What is left of the
logarithm of the latency is a Gaussian process over the logarithms of the counts: networks of one kind err alike.
How far both err, beside MACs alone, is in `tests/benchmarks/results/zoo.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.predict.surrogate import errors
from nas.zoo.facts import COUNTS

# Nanoseconds each: where a fit begins; only their ratios matter once a model is measured.
_USUAL_NS: Mapping[str, float] = {
    "params": 0.08, "macs_dense": 0.018, "macs_pointwise": 0.018, "macs_grouped": 0.025, "macs_depthwise": 0.025,
    "macs_linear": 0.02, "macs_attention": 0.027, "unaligned": 0.005, "out_conv": 0.2, "out_depthwise": 0.2,
    "out_linear": 0.2, "out_attention": 0.3, "cheap": 0.1, "costly": 0.6, "normalized": 0.6, "moved": 0.5,
    "reduced": 0.5, "ops_conv": 3500.0, "ops_matmul": 2500.0, "ops_other": 1000.0,
}  # fmt: skip
_USUAL_MS = 1e-6 * np.array([_USUAL_NS[name] for name in COUNTS])
_TOWARDS_USUAL = 0.2  # what a cost of twice the usual one counts, beside an error of 20%
_FEWEST = 8  # measured models from which on the rest is worth modelling
_UNKNOWN, _LITTLE_KNOWN = (
    0.5,
    0.2,
)  # standard deviations of the logarithm before and soon after a model is measured
# Of the process: fitted ones err as much, and say less well how far.
_VARIANCE, _REACH, _NOISE = 0.03, 5.0, 0.003
_FOLDS = 8


class LatencyPredictor:
    """A predictor fitted to measured models.

    Args:
        counts: What each computes (n, counts), in the order of `COUNTS`; of none it predicts usual costs.
        ms: Their latencies (n,).
    """

    def __init__(self, counts: np.ndarray, ms: np.ndarray) -> None:
        self._costs = fitted_costs(counts, ms)
        self._spread = _UNKNOWN if not len(ms) else _LITTLE_KNOWN
        self._process: Any = None
        if len(ms) < _FEWEST:
            return
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        features = log_counts(counts)
        self._mean, self._scale = features.mean(0), features.std(0) + 1e-6
        kernel = ConstantKernel(_VARIANCE) * RBF(_REACH) + WhiteKernel(_NOISE)
        no_optimizer: Any = None  # annotated as a name
        self._process = GaussianProcessRegressor(kernel, optimizer=no_optimizer).fit(
            (features - self._mean) / self._scale, np.log(ms / (counts @ self._costs))
        )

    def predict(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return latencies (n,) in ms, and the standard deviation (n,) of their logarithm."""
        base = counts @ self._costs
        if self._process is None:
            return base, np.full(len(counts), self._spread)
        rest, spread, *_ = self._process.predict(
            (log_counts(counts) - self._mean) / self._scale, return_std=True
        )
        return base * np.exp(rest), spread


def fitted_costs(counts: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return what each count costs in ms (counts,)."""
    if not len(ms):
        return _USUAL_MS
    from scipy.optimize import nnls

    speed = np.exp(np.median(np.log(ms / (counts @ _USUAL_MS))))
    usual = speed * _USUAL_MS
    towards = _TOWARDS_USUAL * np.eye(len(usual))
    shares = np.concatenate([counts * usual / ms[:, None], towards])
    factors, _ = nnls(shares, np.concatenate([np.ones(len(ms)), towards.sum(1)]))
    return usual * factors


def log_counts(counts: np.ndarray) -> np.ndarray:
    """Return what networks are compared by: logarithms of counts (n, counts) and the mixture of operations."""
    macs = counts[:, [name.startswith("macs_") for name in COUNTS]]
    single = [name in ("params", "unaligned") or name.startswith("ops_") for name in COUNTS]
    written = counts[
        :, [not own and not name.startswith("macs_") for own, name in zip(single, COUNTS, strict=True)]
    ]
    total, all_written = macs.sum(1, keepdims=True) + 1.0, written.sum(1, keepdims=True) + 1.0
    mixture = [macs / total, written / all_written]
    return np.concatenate(
        [np.log(total), np.log(all_written), np.log1p(counts[:, single]), np.log1p(macs / 1e5),
         np.log1p(written / 1e5), *mixture], axis=1,
    )  # fmt: skip


def held_out(counts: np.ndarray, ms: np.ndarray, seed: int = 0) -> tuple[np.ndarray, dict[str, float]]:
    """Predict each measured model (n,) from the others, in eight folds; return it with the errors in percent."""
    predicted = np.empty(len(ms))
    order = np.random.default_rng(seed).permutation(len(ms))
    for start in range(min(_FOLDS, len(ms))):
        fold = order[start::_FOLDS]
        rest = np.setdiff1d(order, fold)
        predicted[fold] = LatencyPredictor(counts[rest], ms[rest]).predict(counts[fold])[0]
    return predicted, errors(predicted, ms)


def count_matrix(counts: Sequence[Mapping[str, int]]) -> np.ndarray:
    """Return counts as a matrix (n, counts) in the order of `COUNTS`."""
    return np.array([[own[name] for name in COUNTS] for own in counts], dtype=np.float64).reshape(
        -1, len(COUNTS)
    )


__all__ = ["LatencyPredictor", "count_matrix", "fitted_costs", "held_out", "log_counts"]
