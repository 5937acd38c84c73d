"""Pareto fronts against the definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.search.engine.pareto import front, peel

POINTS = arrays(np.float64, st.tuples(st.integers(0, 30), st.just(2)), elements=st.integers(0, 8).map(float))


def dominated(points: np.ndarray, index: int) -> bool:
    own = points[index]
    return bool(((points <= own).all(axis=1) & (points < own).any(axis=1)).any())


@given(POINTS)
def test_front_is_what_nothing_dominates(points: np.ndarray) -> None:
    found = front(points)
    expected = {tuple(points[i]) for i in range(len(points)) if not dominated(points, i)}
    assert {tuple(points[i]) for i in found} == expected
    assert len(found) == len(expected)
    assert (np.diff(points[found, 0]) > 0).all()


def test_front_leaves_nan_out() -> None:
    assert front(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [1]


@given(POINTS, st.integers(0, 40))
def test_peel_takes_whole_fronts_in_order(points: np.ndarray, count: int) -> None:
    allowed = np.arange(len(points)) % 3 != 0
    chosen = peel(points, allowed, count)
    assert len(chosen) == min(count, int(allowed.sum()))
    assert len(set(chosen.tolist())) == len(chosen)
    assert allowed[chosen].all()


def test_peel_spreads_the_last_front() -> None:
    line = np.array([[float(i), float(-i)] for i in range(11)])
    assert peel(line, np.ones(11, dtype=bool), 3).tolist() == [0, 5, 10]
