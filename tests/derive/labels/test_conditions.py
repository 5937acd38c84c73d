"""What conditions mean is which entries are kept when atoms are: that is compared for every choice of atoms."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.derive.labels.conditions import Conditions, Table
from nas.derive.labels.views import flatten, reshape, unflatten

_FEW = settings(max_examples=60, deadline=None, derandomize=True)


def keep_sets(conditions: Conditions, *tables: Table) -> set[tuple[tuple[bool, ...], ...]]:
    """Return what is kept of the tables, for every choice of the atoms that they read."""
    resolved = [conditions.resolve(table) for table in tables]
    atoms = sorted({int(a) for table in resolved if table is not None for a in table.ravel()} - {0})
    found = set()

    for kept in product((False, True), repeat=len(atoms)):
        out = np.zeros(conditions.count, bool)
        out[[atom for atom, own in zip(atoms, kept, strict=True) if not own]] = True
        kept_rows = [[] if t is None else np.logical_not(out[t].any(1)).tolist() for t in resolved]
        found.add(tuple(map(tuple, kept_rows)))
    return found


@st.composite
def pairs(draw: st.DrawFn) -> tuple[int, list[list[int]], list[list[int]]]:
    """Draw how many atoms there are, and two tables of as many rows over them."""
    atoms, rows = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    row = st.lists(st.integers(0, atoms), min_size=2, max_size=2)
    table = st.lists(row, min_size=rows, max_size=rows)
    return atoms, draw(table), draw(table)


def _unified(
    atoms: int, first: list[list[int]], second: list[list[int]]
) -> tuple[Conditions, list[np.ndarray]]:
    conditions = Conditions()
    base = np.concatenate([[0], conditions.fresh(atoms)[:, 0]])
    tables = [base[np.array(first)], base[np.array(second)]]
    conditions.unify(tables[0], tables[1], "meet")
    return conditions, tables


@_FEW
@given(pairs())
def test_unified_entries_exist_together(drawn):
    conditions, (first, second) = _unified(*drawn)
    rows = len(first)
    for one, other in keep_sets(conditions, first, second):
        assert (one or (True,) * rows) == (other or (True,) * rows)


@_FEW
@given(pairs())
def test_unify_is_commutative_in_its_effect_on_keep_sets(drawn):
    atoms, first, second = drawn
    conditions, tables = _unified(atoms, first, second)
    swapped, others = _unified(atoms, second, first)
    rows = len(first)

    def full(found: set) -> set:
        return {tuple(each or (True,) * rows for each in one) for one in found}

    assert full(keep_sets(conditions, *tables)) == full(keep_sets(swapped, *others[::-1]))


@_FEW
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_flatten_undoes_unflatten(sizes):
    conditions = Conditions()
    table = conditions.fresh(int(np.prod(sizes)))
    parts = unflatten(conditions, table, sizes)
    back = flatten(conditions, parts, sizes)
    if back is None:
        assert conditions.resolve(table) is None or np.prod(sizes) == 1
        return
    for one, other in keep_sets(conditions, table, back):
        assert one == other


@_FEW
@given(st.permutations([2, 3, 4]), st.permutations([2, 3, 4]))
def test_a_view_and_its_inverse_keep_the_same(old, new):
    conditions = Conditions()
    tables = [conditions.fresh(size) for size in old]
    there = reshape(conditions, tables, old, new)
    back = reshape(conditions, there, new, old)
    first, second = (flatten(conditions, each, old) for each in (tables, back))
    assert (first is None) == (second is None)
    for one, other in keep_sets(conditions, first, second):
        assert one == other


def test_a_split_channel_is_head_and_place():
    conditions = Conditions()
    channels = conditions.fresh(6)
    heads, places = unflatten(conditions, channels, [3, 2])
    assert heads is not None and places is not None
    assert heads.shape == (3, 1) and places.shape == (2, 1)
    resolved = conditions.resolve(channels)
    assert resolved is not None
    assert resolved.tolist() == [[h, p] for h in heads[:, 0].tolist() for p in places[:, 0].tolist()]


def test_what_meets_a_fixed_axis_is_fixed_and_says_why():
    conditions = Conditions()
    table, other = conditions.fresh(4), conditions.fresh(4)
    conditions.unify(table, other, "meet")
    conditions.freeze(other, "is a kernel size")
    assert conditions.resolve(table) is None
    assert conditions.reason(table) == "is a kernel size"


def test_the_order_of_operations_does_not_matter():
    """A split that comes before or after two axes meet means the same."""
    sets = []
    for is_late in (False, True):
        conditions = Conditions()
        first, second = conditions.fresh(6), conditions.fresh(6)
        if is_late:
            conditions.unify(first, second, "meet")
        unflatten(conditions, first, [2, 3])
        if not is_late:
            conditions.unify(first, second, "meet")
        sets.append(keep_sets(conditions, first, second))
    assert sets[0] == sets[1]
