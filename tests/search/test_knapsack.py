"""The knapsack is exact: against all subnets of small spaces, with conditions within conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.search.engine.knapsack import Knapsack
from nas.space import SearchSpace
from tests.search.fakes import make_space
from tests.space.spaces import NESTED, enumerate_space, search_spaces

SPACES = st.one_of(st.just(NESTED), st.just(make_space(stages=1, blocks=3)), search_spaces())


def all_codes(space: SearchSpace) -> np.ndarray:
    return space.codes(list(enumerate_space(space)))


@given(space=SPACES, seed=st.integers(0, 10_000))
@settings(max_examples=80)
def test_no_subnet_within_the_budget_is_better(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    every = space.encode(all_codes(space))
    values = rng.normal(size=(2, every.shape[1]))
    costs = rng.integers(-4, 9, every.shape[1])
    total = every @ costs
    budgets = np.unique(rng.integers(total.min(), total.max() + 1, 3))
    bins = max(int(budgets.max() - total.min()), 1)  # one bin a unit of cost: nothing is rounded
    solved = Knapsack(space).solve(values, costs, budgets, bins=bins)
    for row, value in enumerate(values):
        for column, budget in enumerate(budgets):
            found = space.encode(space.canonical_codes(solved[row, column][None]))[0]
            assert found @ costs <= budget
            assert found @ value == pytest.approx((every @ value)[total <= budget].max())


def test_a_budget_below_the_cheapest_gets_the_cheapest() -> None:
    space = make_space(stages=1, blocks=2)
    every = space.encode(all_codes(space))
    costs = np.arange(1.0, every.shape[1] + 1)
    solved = Knapsack(space).solve(np.ones((1, every.shape[1])), costs, np.array([0.0]))
    assert space.encode(solved[0])[0] @ costs == (every @ costs).min()


def test_rounding_misses_a_budget_by_little() -> None:
    space = make_space(stages=4, blocks=4)
    rng = np.random.default_rng(0)
    costs = rng.uniform(0.0, 1.0, len(space.features))
    budget = 12.0
    solved = Knapsack(space).solve(rng.uniform(size=(20, len(costs))), costs, np.array([budget]), bins=800)
    assert (space.encode(solved[:, 0]) @ costs <= budget * 1.01).all()
