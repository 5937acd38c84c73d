"""The inner loop of the search: which subnets to evaluate next, given those already evaluated.

One call of `ask` fits the quality model, lays posterior draws through the knapsack at the budget and at a ladder of
other budgets, lets the solutions evolve on the model's prediction with repair to the limits, and picks the most
promising new subnets. Where quality is predicted to begin with, the prediction takes the model's place.

The engine keeps no state between calls but the evaluations: the same evaluations and seed give the same answer,
so a search that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np

from nas.search.engine.additive import AdditiveCosts, AdditivePart
from nas.search.engine.evolution import evolve
from nas.search.engine.knapsack import Knapsack, feature_offsets
from nas.search.engine.pareto import peel
from nas.search.engine.problem import CodesToQuality, Pool, Problem, keys
from nas.search.engine.quality_model import QualityModel, make_effects
from nas.search.engine.repair import fill, repair

_DRAWS = 16
_STRAY, _STRAY_FROM, _STRAY_RATE, _ELITE = 4, 200, 0.08, 20
"""One of so many proposals, from so many evaluations on, is a small change of one of the best: models err."""
_PLAIN = 24
"""At most so many of the plain codes are evaluated, before all else; they are a start that small changes improve."""
_NEAR = (1.06, 0.97, 0.94, 0.91, 0.87, 0.82)


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which linear algebra uses one thread.

    The matrices here are small; on a busy machine, threads waiting for each other made a solve of 135 × 135 take
    160 ms instead of 1 ms.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def _mixed(*groups: np.ndarray) -> np.ndarray:
    """Return all rows, those of each group evenly spread, so that any first part of them has its share of each."""
    ranks = np.concatenate([np.arange(len(group)) / max(len(group), 1) for group in groups])
    return np.concatenate(groups)[np.argsort(ranks, kind="stable")]


class Engine:
    """Proposes subnets in batches. `front` is the share of proposals spent on the rest of the Pareto front."""

    def __init__(self, problem: Problem, *, seed: int = 0, front: float = 0.3, rungs: int = 12) -> None:
        self.problem = problem
        self._seed = seed
        self._front = front
        self._knapsack = Knapsack(problem.space)
        with one_blas_thread():
            self._additive = AdditiveCosts(problem, np.random.default_rng([seed, 0]))
        self._effects = make_effects(problem.space, self._additive.whole.weights)
        self._limits = self._reachable_limits()
        self._niches = self._make_niches(rungs if front > 0 else 0)

    def _reachable_limits(self) -> np.ndarray:
        """Return the limits, with the largest subnet's cost (and a little) where there is none."""
        largest = self.problem.costs(self.problem.largest())[0] * 1.05
        return np.minimum(
            self.problem.limits, np.maximum(largest, self.problem.costs(self.problem.smallest())[0])
        )

    def _make_niches(self, rungs: int) -> np.ndarray:
        """Return limits (k, m): the budget first, then others along the first cost, other limits kept.

        Some of the others stand close to the budget: when measured latencies turn out to be off from the predicted,
        the best subnet lies at one of them.
        """
        if rungs == 0:
            return self._limits[None]
        low = self.problem.costs(self.problem.smallest())[0, 0]
        high = self.problem.costs(self.problem.largest())[0, 0] * 1.001
        near = self._limits[0] * np.array(_NEAR)
        ladder = np.concatenate([near, np.geomspace(low * 1.02, max(high, low * 1.03), rungs)])
        ladder = ladder[ladder >= low]
        niches = np.tile(self._limits, (1 + len(ladder), 1))
        niches[1:, 0] = ladder
        return niches

    # --- proposing --------------------------------------------------------------------------------------------------

    def ask(self, count: int, codes: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """Return `count` codes, all different and none among `codes`, given the `quality` (n,) of `codes` (n, d)."""
        with one_blas_thread():
            return self._ask(count, codes, quality)

    def _ask(self, count: int, codes: np.ndarray, quality: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 1, len(codes)])
        told = set(keys(codes))
        if self.problem.quality is not None:
            chosen = self._by_prediction(count, codes, told, rng)
        elif len(plain := self._plain(told)) >= count:
            chosen = plain
        elif len(codes) < 4:
            chosen = np.concatenate([plain, self._first(count - len(plain), told, rng)])
        else:
            if self.problem.link is not None:
                quality = self.problem.link(quality)
            chosen = np.concatenate([plain, self._by_model(count - len(plain), codes, quality, told, rng)])
        return self._complete(chosen, count, told, rng)

    def _plain(self, told: set[bytes]) -> np.ndarray:
        """Return the plain codes within the limits that are not told yet and have no larger one within them."""
        plain = self.problem.plain
        if plain is None:
            return self.problem.smallest()[:0]
        within = plain[self.problem.feasible(self.problem.costs(plain))]
        same, other = within[:, None], within[None]
        is_larger: np.ndarray = np.all(other >= same, axis=2) & np.any(other > same, axis=2)
        most = within[np.logical_not(np.any(is_larger, axis=1))][:_PLAIN]
        return most[[key not in told for key in keys(most)]]

    def _niche_of_slots(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return for each of `count` proposals the niche it is for; 0 is the budget."""
        others = len(self._niches) - 1
        slots = np.zeros(count, dtype=int)
        if others:
            spent = rng.random(count) < self._front
            slots[spent] = rng.integers(1, 1 + others, int(spent.sum()))
        return slots

    def _first(self, count: int, told: set[bytes], rng: np.random.Generator) -> np.ndarray:
        """Return a first design: the largest networks within their niche, size being worth a random opinion."""
        slots = self._niche_of_slots(count, rng)
        weights = self._additive.whole.weights[0]
        steps = self._effects.matrix[:, self._effects.group == 0]
        worth = rng.exponential(size=(count, steps.shape[1]))
        price = np.maximum(steps.T @ np.abs(weights), 1e-9)
        worth *= (price / price.mean()) ** rng.uniform(0.0, 1.0, (count, 1))
        solved = self._solve(worth @ steps.T, rng)
        chosen = solved[np.arange(count), slots]
        limits = self._niches[slots]
        chosen, costs = repair(chosen, self.problem, limits, self._additive, rng)
        return fill(chosen, costs, self.problem, limits, self._additive, rng)[0]

    def _by_model(
        self, count: int, codes: np.ndarray, quality: np.ndarray, told: set[bytes], rng: np.random.Generator
    ) -> np.ndarray:
        """Return the most promising by a model of quality fitted to the evaluations (Thompson sampling)."""
        encode, hint = self.problem.space.encode, self.problem.hint
        model = QualityModel(
            self._effects, encode(codes), quality, None if hint is None else hint(codes)[:, None]
        )
        draws = model.draws(rng, _DRAWS)
        values = model.choice_values(draws, None if hint is None else self._fits(hint, 1))
        solved = self._solve(values, rng)
        seeds = np.concatenate([solved.reshape(-1, codes.shape[1]), codes[np.argsort(-quality)[:60]]])

        def score(candidates: np.ndarray, costs: np.ndarray) -> np.ndarray:
            return model.predict(encode(candidates), None if hint is None else hint(candidates)[:, None])

        pool = evolve(
            self.problem, score, seeds, self._niches, self._additive, rng, generations=15, children=150,
            focus=1.0 - self._front,
        )  # fmt: skip
        believed = model.predict(
            encode(pool.codes), None if hint is None else hint(pool.codes)[:, None], draws=draws
        )
        strays = len(codes) >= (_STRAY_FROM if self.problem.plain is None else _PLAIN)
        strayed = self._stray(count // _STRAY if strays else 0, codes, quality, told, rng)
        return np.concatenate([self._pick(count - len(strayed), pool, believed, told, rng), strayed])

    def _stray(
        self, count: int, codes: np.ndarray, quality: np.ndarray, told: set[bytes], rng: np.random.Generator
    ) -> np.ndarray:
        """Return up to `count` small changes of the best evaluated, whatever the model thinks of them.

        The best with each choice of a dimension that stands alone, such as the resolution, have children too.
        """
        feasible = np.flatnonzero(self.problem.feasible(self.problem.costs(codes))) if count else []
        if not len(feasible):
            return codes[:0]
        ranked = feasible[np.argsort(-quality[feasible], kind="stable")]
        groups = [ranked[:_ELITE]]
        for place, dimension in enumerate(self.problem.space.dimensions):
            if "." not in dimension.name:
                groups += [
                    ranked[codes[ranked, place] == code][:_ELITE] for code in range(len(dimension.choices))
                ]
        groups = [group for group in groups if len(group)]
        turns = rng.integers(0, len(groups), 3 * count)
        parents = codes[[rng.choice(groups[turn]) for turn in turns]]
        limits = np.tile(self._limits, (len(parents), 1))
        children = self.problem.space.mutate_codes(parents, rng, _STRAY_RATE)
        children, _ = repair(children, self.problem, limits, self._additive, rng)
        new = [row for row, key in zip(children, keys(children), strict=True) if key not in told]
        return np.array(new[:count]).reshape(-1, codes.shape[1]).astype(codes.dtype)

    def _pick(
        self, count: int, pool: Pool, believed: np.ndarray, told: set[bytes], rng: np.random.Generator
    ) -> np.ndarray:
        """Return for each slot the pool's best under one draw of `believed` (draws, n): a third under the mean."""
        new = np.array([key not in told for key in keys(pool.codes)])
        picked: list[int] = []
        for slot, niche in enumerate(self._niche_of_slots(count, rng)):
            draw = believed[0 if slot % 3 == 0 else rng.integers(1, len(believed))]
            allowed = np.flatnonzero(new & self.problem.feasible(pool.costs, self._niches[niche]))
            if len(allowed):
                picked.append(int(allowed[draw[allowed].argmax()]))
                new[picked[-1]] = False
        return pool.codes[picked]

    def _by_prediction(
        self, count: int, codes: np.ndarray, told: set[bytes], rng: np.random.Generator
    ) -> np.ndarray:
        """Return the best by the predicted quality: at the budget, along the front, and a few at random."""
        quality = self.problem.quality
        assert quality is not None
        solved = self._solve(self._fits(quality, 6), rng)
        seeds = [solved.reshape(-1, solved.shape[-1]), self.problem.smallest(), self.problem.largest()]
        if len(codes):
            seeds.append(codes[rng.permutation(len(codes))[:200]])
        if self.problem.known is not None:
            seeds.append(self.problem.known)
        pool = evolve(
            self.problem, lambda candidates, _: quality(candidates), np.concatenate(seeds), self._niches,
            self._additive, rng, generations=25, children=250, focus=1.0 - self._front,
        )  # fmt: skip
        new = np.array([key not in told for key in keys(pool.codes)])
        at_random = self.problem.space.sample_codes(rng, max(1, count // 6))
        along = int((count - len(at_random)) * self._front)
        layers = peel(np.column_stack([pool.costs[:, 0], -pool.scores]), new & self._inside(pool), along)
        new[layers] = False
        within = np.flatnonzero(new & self.problem.feasible(pool.costs))
        best = within[np.argsort(-pool.scores[within], kind="stable")[: count - along - len(at_random)]]
        return _mixed(pool.codes[best], pool.codes[rng.permutation(layers)], at_random)

    def _inside(self, pool: Pool) -> np.ndarray:
        """Return which of the pool keep every limit but that on the first cost."""
        return np.all(pool.costs[:, 1:] <= self.problem.limits[1:], axis=1)

    def _fits(self, function: CodesToQuality, count: int) -> np.ndarray:
        """Return additive fits (count, features) of a function of codes: one on all samples, others bootstrapped."""
        rng = np.random.default_rng([self._seed, 2])
        width = len(self.problem.space.features)
        codes = self.problem.space.sample_codes(rng, max(400, 6 * width))
        encoded, value = self.problem.space.encode(codes), function(codes)
        fits = []
        for place in range(count):
            rows = slice(None) if place == 0 else rng.integers(0, len(codes), len(codes))
            x, y = encoded[rows] - encoded[rows].mean(axis=0), value[rows] - value[rows].mean()
            fits.append(np.linalg.solve(x.T @ x + 0.5 * np.eye(width), x.T @ y))
        return np.array(fits)

    def _complete(
        self, chosen: np.ndarray, count: int, told: set[bytes], rng: np.random.Generator
    ) -> np.ndarray:
        """Drop doubles, and fill up with random subnets within the limits; above the budget when that is spent.

        Fewer come back when the space is spent as far as the other limits let it be.
        """
        result: list[np.ndarray] = []
        known = set(told)
        above = self._niches[self._niches[:, 0] > self._limits[0]]
        above = above[np.argsort(above[:, 0], kind="stable")]
        for within in [*np.tile(self._limits, (20, 1)), *np.repeat(above, 3, axis=0)]:
            for row, key in zip(chosen, keys(chosen), strict=True):
                if key not in known and len(result) < count:
                    known.add(key)
                    result.append(row)
            if len(result) == count:
                break
            fresh = self.problem.space.sample_codes(rng, 2 * count)
            limits = np.broadcast_to(within, (len(fresh), len(within)))
            chosen = repair(fresh, self.problem, limits, self._additive, rng)[0]
        return np.array(result, dtype=np.int16).reshape(len(result), len(self.problem.space.dimensions))

    # --- the knapsack -----------------------------------------------------------------------------------------------

    def _solve(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the best subnet (b, k, d) of each value vector (b, features) in each niche (k, m)."""
        best = np.tile(self.problem.smallest()[0], (len(values), len(self._niches), 1))
        top = np.full(best.shape[:2], -np.inf)
        for part in self._additive.parts:
            for codes in self._solve_part(values, part, rng):
                encoded = self.problem.space.encode(codes.reshape(-1, codes.shape[-1]))
                worth = (encoded.reshape(*codes.shape[:2], -1) * values[:, None]).sum(axis=2)
                estimate = (encoded @ part.weights.T + part.intercept).reshape(*codes.shape[:2], -1)
                worth[(estimate > self._niches * 1.01).any(axis=2)] = -np.inf
                better = worth > top
                best[better], top[better] = codes[better], worth[better]
        return best

    def _solve_part(
        self, values: np.ndarray, part: AdditivePart, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Yield solutions (b, k, d) within one part: the knapsack along each binding limit, others as prices."""
        values = self._hold(values, part)
        largest = self.problem.costs(self.problem.largest())[0]
        binding = np.flatnonzero((self._niches < largest).any(axis=0))
        for axis in binding if len(binding) else [0]:
            others = [other for other in binding if other != axis]
            budgets = self._niches[:, axis] - part.intercept[axis]
            for attempt in range(1 + 4 * bool(others)):
                priced = values
                for other in others if attempt else []:
                    price = np.abs(values).mean() / max(np.abs(part.weights[other]).mean(), 1e-12)
                    priced = priced - rng.exponential() * price * part.weights[other]
                yield self._knapsack.solve(priced, part.weights[axis], budgets, bins=800)

    def _hold(self, values: np.ndarray, part: AdditivePart) -> np.ndarray:
        """Make every choice but the fixed one worthless in a part's fixed dimensions."""
        held = values.copy()
        offsets = feature_offsets(self.problem.space)
        for position, code in part.fixed.items():
            block = np.arange(offsets[position], offsets[position + 1])
            held[:, block[block != offsets[position] + code]] = -1e6
        return held
