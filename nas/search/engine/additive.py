"""Additive fits of the cost predictors, for the knapsack and for steering repairs.

Latency, MACs and parameters are sums over blocks once resolution-like dimensions are fixed; so where one additive fit
over the whole space is poor, the space is cut along the dimension that explains it best and each part has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.search.engine.knapsack import feature_offsets
from nas.search.engine.problem import Problem

_GOOD = 0.02  # relative error of a fit that needs no cutting
_MOST_PARTS = 32


@dataclass(frozen=True)
class AdditivePart:
    """costs ≈ intercept + weights · one-hot, where the dimensions in `fixed` have their code."""

    weights: np.ndarray  # (m, features)
    intercept: np.ndarray  # (m,)
    fixed: dict[int, int]
    error: float  # relative, root mean square, of the worst cost


class AdditiveCosts:
    """The costs of a problem as sums over choices: one part, or one for each choice of the dimension `cut`."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem = problem
        self.whole = fit_part(problem, rng)
        self.cut, self.parts = None, [self.whole]
        if self.whole.error > _GOOD:
            self._divide(rng)

    def _divide(self, rng: np.random.Generator) -> None:
        problem = self._problem
        errors: dict[int, float] = {}
        for position in _by_influence(problem, self.whole)[:4]:
            ends = (0, len(problem.space.dimensions[position].choices) - 1)
            errors[position] = float(
                np.mean([fit_part(problem, rng, {position: code}).error for code in ends])
            )
        if errors and min(errors.values()) <= 0.6 * self.whole.error:
            self.cut = min(errors, key=lambda position: errors[position])
            choices = range(len(problem.space.dimensions[self.cut].choices))
            self.parts = [fit_part(problem, rng, {self.cut: code}) for code in choices]

    def estimate(self, codes: np.ndarray) -> np.ndarray:
        """Return estimated costs (n, m) of codes (n, dimensions)."""
        encoded = self._problem.space.encode(codes)
        if self.cut is None:
            return encoded @ self.whole.weights.T + self.whole.intercept
        estimates = np.empty((len(codes), len(self._problem.names)))
        for code, part in enumerate(self.parts):
            rows = codes[:, self.cut] == code
            estimates[rows] = encoded[rows] @ part.weights.T + part.intercept
        return estimates


def fit_part(problem: Problem, rng: np.random.Generator, fixed: dict[int, int] | None = None) -> AdditivePart:
    """Fit every cost by least squares on random subnets (with `fixed` dimensions held)."""
    fixed = fixed or {}
    width = len(problem.space.features)
    codes = problem.space.sample_codes(rng, max(300, 4 * width))
    for position, code in fixed.items():
        codes[:, position] = code
    codes = problem.space.canonical_codes(np.maximum(codes, 0)) if fixed else codes
    encoded, costs = problem.space.encode(codes), problem.costs(codes)
    centre, mean = encoded.mean(axis=0), costs.mean(axis=0)
    gram = (encoded - centre).T @ (encoded - centre) + 1e-3 * np.eye(width)
    weights = np.linalg.solve(gram, (encoded - centre).T @ (costs - mean)).T
    intercept = mean - weights @ centre
    residual = costs - (encoded @ weights.T + intercept)
    error = float((np.sqrt((residual**2).mean(axis=0)) / np.maximum(np.abs(mean), 1e-12)).max())
    return AdditivePart(weights, intercept, fixed, error)


def _by_influence(problem: Problem, whole: AdditivePart) -> list[int]:
    """Return the unconditional dimensions of several choices, the one that changes the first cost most first."""
    offsets = feature_offsets(problem.space)
    influence = {
        position: float(np.ptp(whole.weights[0, offsets[position] : offsets[position + 1]]))
        for position, dimension in enumerate(problem.space.dimensions)
        if dimension.active_if is None and 1 < len(dimension.choices) <= _MOST_PARTS
    }
    return sorted(influence, key=lambda position: -influence[position])
