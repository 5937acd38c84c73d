"""Axes that are read off tables keep the entries that the tables' conditions keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.derive.labels.conditions import Conditions
from nas.derive.labels.views import flatten
from nas.derive.spaces.axes import Units, axis_of
from nas.elastic import Axis, Cat, Elastic, Fixed, Indices, Repeat

LENGTHS = {"a": 3, "b": 4, "c": 2}


class Tables:
    """Tables over three dimensions."""

    def __init__(self) -> None:
        self.conditions = Conditions()
        self.of = {name: self.conditions.fresh(length) for name, length in LENGTHS.items()}
        self.units = Units([tuple(t[:, 0]) for t in self.of.values()], self.conditions.count)
        self.units.call([*LENGTHS])

    def kept(self, table: np.ndarray, choices: dict[str, int]) -> list[int]:
        out = np.zeros(self.conditions.count, bool)
        for name, own in self.of.items():
            out[own[choices[name] :, 0]] = True
        return np.flatnonzero(~out[table].any(1)).tolist()


def _entries(axis: Axis, choices: dict[str, int]) -> list[int]:
    return [i for start, stop in axis.segments(choices, LENGTHS) for i in range(start, stop)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Tables, np.ndarray]:
    """Draw a table of pieces, each a product of some dimensions and a constant, perhaps shuffled."""
    made, pieces = Tables(), []
    for _ in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from([*LENGTHS, ""]), min_size=1, max_size=3, unique=True))
        sizes = [LENGTHS.get(name, 2) for name in names]
        table = flatten(made.conditions, [made.of.get(name) for name in names], sizes)
        table = np.zeros((int(np.prod(sizes)), 1), np.int64) if table is None else table
        pieces.append(np.pad(table, ((0, 0), (0, 3 - table.shape[1]))))
    table = np.concatenate(pieces)
    if draw(st.booleans()):
        table = table[draw(st.permutations(range(len(table))))]
    return made, table


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tables(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2))
def test_an_axis_keeps_what_the_conditions_keep(drawn, a, b, c):
    made, table = drawn
    axis, choices = axis_of(table, made.units), {"a": a, "b": b, "c": c}
    assert axis is not None
    assert axis.length(LENGTHS) == len(table)
    assert _entries(axis, choices) == made.kept(table, choices)
    assert axis.length(choices) == len(_entries(axis, choices))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(tables(), st.permutations(range(3)), st.permutations(range(4)))
def test_a_permutation_moves_entries_with_their_units(drawn, order_a, order_b):
    """Where entry `i` of the new axis had a unit at place `p`, it has the one that the order puts there."""
    made, table = drawn
    axis = axis_of(table, made.units)
    assert axis is not None
    orders = {"a": torch.tensor(order_a), "b": torch.tensor(order_b)}
    moved = table[axis.permutation(orders, LENGTHS).numpy()]
    places = made.units.place[moved]
    for number, name in enumerate(LENGTHS, 1):
        order = orders.get(name, torch.arange(LENGTHS[name])).numpy()
        own, new = made.units.dimension[table] == number, made.units.dimension[moved] == number
        assert (own.any(1) == new.any(1)).all()
        assert (places[new] == order[made.units.place[table][own]]).all()


def test_what_is_no_product_is_no_axis():
    made = Tables()
    pairs = flatten(made.conditions, [made.of["a"], made.of["b"]], (3, 4))
    assert pairs is not None
    assert axis_of(pairs[:-1], made.units) is None
    assert axis_of(made.of["a"][:2], made.units) is None


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (["a"], Elastic("a")),
        (["a", ""], Repeat(Elastic("a"), 2)),
        (["", "a"], Repeat(Fixed(2), Elastic("a"))),
        (["a", "b"], Repeat(Elastic("a"), Elastic("b"))),
    ],
)
def test_regular_orders_have_their_own_axes(names, axis):
    made = Tables()
    sizes = [LENGTHS.get(name, 2) for name in names]
    table = flatten(made.conditions, [made.of.get(name) for name in names], sizes)
    assert table is not None
    assert axis_of(table, made.units) == axis


def test_interleaved_dimensions_are_told_by_their_indices():
    made = Tables()
    a, b = made.of["a"], made.of["b"][:3]
    units = Units([tuple(a[:, 0]), tuple(b[:, 0])], made.conditions.count)
    axis = axis_of(np.stack([a, b], 1).reshape(-1, 1), units)
    assert isinstance(axis, Indices)
    assert isinstance(axis.of, Cat)
    assert sorted(axis.order) == [*range(6)]
