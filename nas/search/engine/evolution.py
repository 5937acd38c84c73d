"""Evolution whose whole population is scored by a predictor: tens of thousands of subnets a second.

Several niches (budgets) evolve together: a subnet good at one budget is one mutation from being good at the next.
Regularised by dedupe on active choices, tournament selection and repair to the limit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.search.engine.additive import AdditiveCosts
from nas.search.engine.problem import Pool, Problem
from nas.search.engine.repair import fill, repair

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # codes (n, d), costs (n, m) -> scores (n,)


def evolve(
    problem: Problem,
    score: Score,
    seeds: np.ndarray,
    niches: np.ndarray,
    additive: AdditiveCosts,
    rng: np.random.Generator,
    *,
    generations: int = 20,
    children: int = 200,
    keep: int = 40,
    focus: float = 0.6,
) -> Pool:
    """Evolve subnets in niches (k, m) of limits, the first of which gets `focus` of the children; return all met.

    `seeds` start the population after being repaired to the widest niche. `keep` is the parents of the first
    niche; the others share as many.
    """
    pool = Pool(problem)
    widest = np.broadcast_to(niches.max(axis=0), (len(seeds), niches.shape[1]))
    _admit(pool, *repair(seeds, problem, widest, additive, rng), score)
    shares = _shares(len(niches), focus)
    for _ in range(generations):
        niche = rng.choice(len(niches), size=children, p=shares)
        ranked = np.argsort(-pool.scores, kind="stable")
        costs = pool.costs[ranked]
        parents = [
            ranked[_first(problem.feasible(costs, limits), keep if place == 0 else 8, costs)]
            for place, limits in enumerate(niches)
        ]
        born = _breed(pool, problem, [parents[place] for place in niche], rng)
        limits = niches[niche]
        born, costs = repair(born, problem, limits, additive, rng)
        half = rng.random(children) < 0.5
        born[half], costs[half] = fill(born[half], costs[half], problem, limits[half], additive, rng, steps=6)
        _admit(pool, born, costs, score)
    return pool


def _shares(count: int, focus: float) -> np.ndarray:
    if count == 1:
        return np.ones(1)
    return np.concatenate([[focus], np.full(count - 1, (1 - focus) / (count - 1))])


def _admit(pool: Pool, codes: np.ndarray, costs: np.ndarray, score: Score) -> None:
    new = pool.fresh(codes)
    if len(new):
        pool.add(codes[new], costs[new], score(codes[new], costs[new]))


def _first(allowed: np.ndarray, keep: int, costs: np.ndarray) -> np.ndarray:
    """Return the first `keep` positions that are allowed; that of the cheapest of all where none is."""
    found = np.flatnonzero(allowed)[:keep]
    return found if len(found) else np.array([int(costs[:, 0].argmin())])


def _breed(pool: Pool, problem: Problem, parents: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return one child for each group of candidate parents (best first): crossed over, mutated, or both."""
    lots = rng.random((len(parents), 2, 2)).min(axis=2)  # a tournament of two: the lower rank wins
    sizes = np.array([len(group) for group in parents])
    ranks = np.minimum((lots * sizes[:, None]).astype(int), sizes[:, None] - 1)
    chosen = np.array([[group[a], group[b]] for group, (a, b) in zip(parents, ranks, strict=True)])
    first, second = pool.codes[chosen[:, 0]], pool.codes[chosen[:, 1]]
    crossed = rng.random(len(parents)) < 0.5
    born = np.where(crossed[:, None], problem.space.crossover_codes(first, second, rng), first)
    mutated = ~crossed | (rng.random(len(parents)) < 0.5)
    born[mutated] = problem.space.mutate_codes(born[mutated], rng, rate=1.5 / born.shape[1])
    return born
