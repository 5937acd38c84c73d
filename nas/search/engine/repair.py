"""Bring subnets within hard limits, and use up what is left.

A limit is a filter or a repair, never a penalty. Steps are steered by an additive estimate of the costs (cheap) and
judged by the true predictor, so nothing leaves here over a limit unless the smallest subnet is over it.
"""

from __future__ import annotations

import numpy as np

from nas.search.engine.additive import AdditiveCosts
from nas.search.engine.problem import Problem

_ROUNDS = 12


def repair(
    codes: np.ndarray, problem: Problem, limits: np.ndarray, additive: AdditiveCosts, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Step random choices down until each row keeps its limits (n, m); return codes and their costs (n, m).

    A row that cannot be brought within its limits becomes the smallest subnet.
    """
    codes = codes.copy()
    costs = problem.costs(codes)
    for _ in range(_ROUNDS):
        over = np.flatnonzero(~problem.feasible(costs, limits))
        if len(over) == 0:
            return codes, costs
        codes[over] = _step_down(codes[over], costs[over], problem, limits[over], additive, rng)
        costs[over] = problem.costs(codes[over])
    over = np.flatnonzero(~problem.feasible(costs, limits))
    if len(over):
        codes[over] = problem.smallest()
        costs[over] = problem.costs(problem.smallest())
    return codes, costs


def _step_down(
    codes: np.ndarray,
    costs: np.ndarray,
    problem: Problem,
    limits: np.ndarray,
    additive: AdditiveCosts,
    rng: np.random.Generator,
) -> np.ndarray:
    """Lower random choices, at least one a row, until the estimate says that the limits are kept."""
    codes = codes.copy()
    offset = costs - additive.estimate(codes)
    active = np.arange(len(codes))
    while len(active):
        rows = codes[active]
        lots = np.where(rows > 0, rng.random(rows.shape), -1.0)
        position = lots.argmax(axis=1)
        movable = lots[np.arange(len(rows)), position] >= 0
        active, rows, position = active[movable], rows[movable], position[movable]
        rows[np.arange(len(rows)), position] -= 1
        codes[active] = problem.space.canonical_codes(np.maximum(rows, 0))
        estimate = additive.estimate(codes[active]) + offset[active]
        active = active[(estimate > limits[active]).any(axis=1)]
    return codes


def fill(
    codes: np.ndarray,
    costs: np.ndarray,
    problem: Problem,
    limits: np.ndarray,
    additive: AdditiveCosts,
    rng: np.random.Generator,
    steps: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Step random choices up while the limits hold; rows must keep their limits already, and still do after."""
    tops = np.array([len(dimension.choices) - 1 for dimension in problem.space.dimensions])
    filled, everyone = codes.copy(), np.arange(len(codes))
    offset = costs - additive.estimate(codes)
    for _ in range(steps):
        lots = np.where((filled >= 0) & (filled < tops), rng.random(filled.shape), -1.0)
        position = lots.argmax(axis=1)
        tried = filled.copy()
        tried[everyone, position] += lots[everyone, position] >= 0
        tried = problem.space.canonical_codes(np.maximum(tried, 0))
        estimate = additive.estimate(tried) + offset
        kept = (estimate <= limits).all(axis=1)
        filled[kept] = tried[kept]
    new_costs = problem.costs(filled)
    held = problem.feasible(new_costs, limits)
    return np.where(held[:, None], filled, codes), np.where(held[:, None], new_costs, costs)
