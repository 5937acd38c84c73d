"""A Gaussian model of quality that learns from a few dozen evaluations: additive effects, and interactions later.

Quality is nearly additive over choices, and neighbouring effects are alike: widening any block helps a little,
deepening any stage helps more. So each step from one choice to the next has an effect of its own, plus one shared by
its kind in its stage, plus one shared by its kind everywhere, plus a share of what the choice costs. Their sizes are
found by maximising the evidence (MacKay, "Bayesian interpolation", 1992). A squared-exponential kernel over the one-hot
encoding takes up what is not additive. Draws from the posterior drive Thompson sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.search.engine.knapsack import feature_offsets
from nas.space import SearchSpace

_JITTER = 1e-8


@dataclass(frozen=True)
class Effects:
    """The linear part: how each effect acts on the one-hot features, and to which group it belongs."""

    matrix: np.ndarray  # (features, effects)
    group: np.ndarray  # (effects,) index into the prior variances


def make_effects(space: SearchSpace, cost_weights: np.ndarray) -> Effects:
    """Return the effects of a space; `cost_weights` (m, features) are the additive costs, one effect each."""
    offsets = feature_offsets(space)
    own: list[np.ndarray] = []
    shared: dict[tuple[int, str], np.ndarray] = {}
    for position, dimension in enumerate(space.dimensions):
        first = 0 if dimension.active_if is not None else 1
        stage, _, kind = dimension.name.rpartition(".")
        for step in range(first, len(dimension.choices)):
            column = np.zeros(offsets[-1])
            column[offsets[position] + step : offsets[position + 1]] = 1.0
            own.append(column)
            what = f"{kind}>" if step else f"{kind}+"
            for level, name in ((1, f"{stage.partition('.')[0]}.{what}"), (2, what)):
                shared[level, name] = shared.get((level, name), 0) + column
    columns = [*own, *shared.values()]
    group = [0] * len(own) + [level for level, _ in shared]
    for weights in cost_weights:
        spread = np.abs(weights).sum() or 1.0
        columns.append(weights * (len(own) / spread))
        group.append(3)
    return Effects(np.stack(columns, axis=1), np.array(group))


@dataclass(frozen=True)
class _Hyper:
    """Prior variances of the four groups of effects and of interactions, the kernel's rate, the noise variance."""

    groups: tuple[float, float, float, float]
    interaction: float
    rate: float
    noise: float


class QualityModel:
    """The posterior after evaluations: `encoded` (n, features), `quality` (n,), other known features `extra` (n, e)."""

    def __init__(
        self, effects: Effects, encoded: np.ndarray, quality: np.ndarray, extra: np.ndarray | None = None
    ) -> None:
        self._effects = effects
        self._shift = float(quality.mean())
        self._scale = float(quality.std()) or 1.0
        target = (quality - self._shift) / self._scale
        extra = np.empty((len(encoded), 0)) if extra is None else extra
        self._extra_centre = extra.mean(axis=0)
        self._extra_scale = np.where(extra.std(axis=0) > 0, extra.std(axis=0), 1.0)
        self._encoded = encoded
        self._hyper = self._choose(target, encoded, self._linear(encoded, extra))
        self._condition(target, self._linear(encoded, extra))

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _linear(self, encoded: np.ndarray, extra: np.ndarray) -> np.ndarray:
        normal = (extra - self._extra_centre) / self._extra_scale
        return np.concatenate([np.ones((len(encoded), 1)), normal, encoded @ self._effects.matrix], axis=1)

    def _prior(self, hyper: _Hyper) -> np.ndarray:
        wide = np.full(1 + len(self._extra_centre), 4.0)
        return np.concatenate([wide, np.array(hyper.groups)[self._effects.group]])

    def _kernel(self, hyper: _Hyper, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        squared = first.sum(axis=1)[:, None] + second.sum(axis=1)[None, :] - 2.0 * (first @ second.T)
        return hyper.interaction * np.exp(-hyper.rate * squared)

    def _choose(self, target: np.ndarray, encoded: np.ndarray, linear: np.ndarray) -> _Hyper:
        """Return the prior that maximises the evidence, found by moving one variance at a time."""
        if len(target) > 300:  # the evidence of the best and of some others says enough, and is quick
            best = np.argsort(-target)[:200]
            others = np.linspace(0, len(target) - 1, 100).astype(int)
            subset = np.union1d(best, others)
            target, encoded, linear = target[subset], encoded[subset], linear[subset]
        effects = len(self._effects.group)
        squared = encoded.sum(axis=1)[:, None] + encoded.sum(axis=1)[None, :] - 2.0 * (encoded @ encoded.T)
        wide = 1 + len(self._extra_centre)
        grams = [4.0 * linear[:, :wide] @ linear[:, :wide].T]
        for group in range(4):
            part = linear[:, wide:][:, self._effects.group == group]
            grams.append(part @ part.T)
        start = np.log([1.0 / effects, 1.0 / effects, 1.0 / effects, 1.0 / effects, 0.05, 0.01])

        def evidence(logs: np.ndarray, rate: float) -> float:
            variances = np.exp(logs)
            matrix = grams[0] + sum(v * g for v, g in zip(variances[:4], grams[1:], strict=True))
            matrix = matrix + variances[4] * np.exp(-rate * squared) + variances[5] * np.eye(len(target))
            try:
                lower = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                return -np.inf
            whitened = np.linalg.solve(lower, target)
            prior = -0.5 * float(
                (((logs - start) / 2.5) ** 2).sum()
            )  # few points must not drive a variance away
            return -0.5 * float(whitened @ whitened) - float(np.log(np.diag(lower)).sum()) + prior

        logs, rate = start.copy(), 0.05
        best = evidence(logs, rate)
        for width in (2.0, 1.0, 0.5):
            for place in range(len(logs)):
                for step in (-width, width):
                    tried = logs.copy()
                    tried[place] += step
                    value = evidence(tried, rate)
                    if value > best:
                        logs, best = tried, value
            for other in (0.02, 0.05, 0.12):
                value = evidence(logs, other)
                if value > best:
                    rate, best = other, value
        variances = np.exp(logs)
        return _Hyper(tuple(variances[:4]), float(variances[4]), rate, float(variances[5]))

    def _condition(self, target: np.ndarray, linear: np.ndarray) -> None:
        prior = self._prior(self._hyper)
        scaled = linear * prior
        matrix = scaled @ linear.T + self._kernel(self._hyper, self._encoded, self._encoded)
        matrix[np.diag_indices_from(matrix)] += self._hyper.noise + _JITTER
        self._lower = np.linalg.cholesky(matrix)
        self._pull = np.linalg.solve(self._lower.T, np.linalg.solve(self._lower, target))
        self._mean = scaled.T @ self._pull
        reduced = np.linalg.solve(self._lower, scaled)
        self._covariance = np.diag(prior) - reduced.T @ reduced

    # --- asking -----------------------------------------------------------------------------------------------------

    def draws(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return posterior draws (count, 1 + extra + effects) of the linear effects; the first is the mean."""
        covariance = self._covariance + _JITTER * np.eye(len(self._mean))
        try:
            root = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
        noise = rng.standard_normal((count, len(self._mean)))
        noise[0] = 0.0
        return self._mean + noise @ root.T

    def choice_values(self, draws: np.ndarray, extra_weights: np.ndarray | None = None) -> np.ndarray:
        """Return the value of each one-hot feature (count, features) under `draws`, for the knapsack.

        `extra_weights` (e, features) are the additive fits of the extra features.
        """
        count = len(self._extra_centre)
        values = draws[:, 1 + count :] @ self._effects.matrix.T
        if count and extra_weights is not None:
            values = values + (draws[:, 1 : 1 + count] / self._extra_scale) @ extra_weights
        return values

    def predict(
        self, encoded: np.ndarray, extra: np.ndarray | None = None, draws: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the expected quality (n,), or with `draws` (count, n) qualities under each draw of linear effects."""
        extra = np.empty((len(encoded), 0)) if extra is None else extra
        linear = self._linear(encoded, extra)
        bend = self._kernel(self._hyper, encoded, self._encoded) @ self._pull
        if draws is None:
            return self._shift + self._scale * (linear @ self._mean + bend)
        return self._shift + self._scale * (draws @ linear.T + bend)
