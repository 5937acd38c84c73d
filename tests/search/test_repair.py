"""Limits hold after a repair whenever any subnet holds them, whatever the costs are like."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.search.engine.additive import AdditiveCosts
from nas.search.engine.problem import Problem
from nas.search.engine.repair import fill, repair
from tests.search.fakes import make_space, weights_of

SPACE = make_space(stages=3, blocks=3)


def make_problem(limit: float = np.inf, bend: float = 0.0) -> Problem:
    """Return a problem with two costs; `bend` makes the first one less additive."""
    weights = np.stack([weights_of(SPACE, 1), weights_of(SPACE, 5)], axis=1)

    def costs(codes: np.ndarray) -> np.ndarray:
        linear = 1.0 + SPACE.encode(codes) @ weights
        return linear * (1.0 + bend * np.sin(7 * linear))

    return Problem(SPACE, ("latency_ms", "macs"), costs, np.array([limit, np.inf]))


@given(seed=st.integers(0, 1000), tight=st.floats(0.0, 1.0), bend=st.sampled_from([0.0, 0.2]))
@settings(max_examples=40)
def test_repaired_and_filled_subnets_keep_feasible_limits(seed: int, tight: float, bend: float) -> None:
    problem = make_problem(bend=bend)
    rng = np.random.default_rng(seed)
    additive = AdditiveCosts(problem, rng)
    low, high = problem.costs(problem.smallest())[0], problem.costs(problem.largest())[0]
    limits = np.tile((low + tight * (high - low)) * (1 + 1e-9), (30, 1))  # sums differ by rounding
    codes, costs = repair(SPACE.sample_codes(rng, 30), problem, limits, additive, rng)
    assert (problem.costs(codes) <= limits).all()
    np.testing.assert_allclose(costs, problem.costs(codes))
    filled, more = fill(codes, costs, problem, limits, additive, rng)
    assert (problem.costs(filled) <= limits).all()
    np.testing.assert_allclose(more, problem.costs(filled))
    np.testing.assert_array_equal(filled, SPACE.canonical_codes(filled))


def test_subnets_within_the_limits_are_left_alone() -> None:
    problem = make_problem()
    rng = np.random.default_rng(0)
    codes = SPACE.sample_codes(rng, 20)
    limits = problem.costs(codes)
    repaired, _ = repair(codes, problem, limits, AdditiveCosts(problem, rng), rng)
    np.testing.assert_array_equal(repaired, codes)


def test_an_impossible_limit_gives_the_smallest_and_ends() -> None:
    problem = make_problem()
    rng = np.random.default_rng(0)
    codes, _ = repair(
        SPACE.sample_codes(rng, 5), problem, np.full((5, 2), 0.1), AdditiveCosts(problem, rng), rng
    )
    np.testing.assert_array_equal(codes, np.repeat(problem.smallest(), 5, axis=0))


def test_filling_uses_the_slack() -> None:
    problem = make_problem()
    rng = np.random.default_rng(0)
    codes = np.repeat(problem.smallest(), 10, axis=0)
    costs = problem.costs(codes)
    limits = costs * 2
    _, filled = fill(codes, costs, problem, limits, AdditiveCosts(problem, rng), rng, steps=40)
    assert (filled[:, 0] > 1.5 * costs[:, 0]).all()


def test_costs_that_a_dimension_multiplies_are_fitted_in_parts() -> None:
    weights = weights_of(SPACE, 1)

    def costs(codes: np.ndarray) -> np.ndarray:
        return ((1.0 + SPACE.encode(codes) @ weights) * (1.0 + 2.0 * codes[:, 0]))[:, None]

    problem = Problem(SPACE, ("latency_ms",), costs, np.array([np.inf]))
    rng = np.random.default_rng(0)
    additive = AdditiveCosts(problem, rng)
    codes = SPACE.sample_codes(rng, 50)
    assert additive.cut == 0
    np.testing.assert_allclose(additive.estimate(codes), costs(codes), rtol=0.02)
