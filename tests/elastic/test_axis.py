"""The axis algebra against brute force: every entry of the full axis knows which elastic entries it belongs to."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.elastic import Axis, Cat, Chosen, Elastic, Fixed, Layout, Repeat, Scaled
from nas.elastic._layout import cut, paste

LARGEST = {"a": 4, "b": 3, "r": 1.5}
ELASTIC = [Elastic("a"), Elastic("b"), Elastic("product", Scaled(Chosen("a"), "r", divisor=2))]
AXES = st.recursive(
    st.one_of(st.integers(1, 3).map(Fixed), st.sampled_from(ELASTIC)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Cat(*parts)),
        st.builds(Repeat, inner, st.one_of(st.integers(1, 3), inner)),
    ),
    max_leaves=5,
).filter(lambda axis: axis.length(LARGEST) <= 200)
CHOICES = st.fixed_dictionaries(
    {"a": st.integers(1, 4), "b": st.integers(1, 3), "r": st.sampled_from([0.5, 1.0, 1.5])}
)
SOME = settings(max_examples=150)

Label = tuple[tuple[Any, int], ...]


def _labels(axis: Axis) -> list[Label]:
    """Name each entry of the full axis by its place in every node above it."""
    if isinstance(axis, Cat):
        return [
            ((position, 0), *label) for position, part in enumerate(axis.parts) for label in _labels(part)
        ]
    if isinstance(axis, Repeat):
        run = Fixed(axis.inner) if isinstance(axis.inner, int) else axis.inner
        return [outer + inner for outer, inner in product(_labels(axis.outer), _labels(run))]
    key = axis if isinstance(axis, Elastic) else None
    return [((key, position),) for position in range(axis.length(LARGEST))]


def _kept(axis: Axis, choices: dict[str, Any]) -> list[int]:
    """The indices of the entries whose every elastic place lies within the subnet's length."""
    return [
        index
        for index, label in enumerate(_labels(axis))
        if all(place < key.length(choices) for key, place in label if isinstance(key, Elastic))
    ]


@SOME
@given(axis=AXES, choices=CHOICES)
def test_segments_are_the_kept_entries_in_order(axis: Axis, choices: dict[str, Any]) -> None:
    segments, kept = axis.segments(choices, LARGEST), _kept(axis, choices)
    assert [i for start, stop in segments for i in range(start, stop)] == kept
    assert axis.length(choices) == len(kept)
    assert all(stop < start for (_, stop), (start, _) in pairwise(segments)), "they touch"
    assert axis.segments(LARGEST, LARGEST) == ((0, axis.length(LARGEST)),)


@SOME
@given(first=AXES, second=AXES, choices=CHOICES)
def test_cut_is_index_select_and_paste_is_its_inverse(
    first: Axis, second: Axis, choices: dict[str, Any]
) -> None:
    full = torch.randn(first.length(LARGEST), second.length(LARGEST))
    rows, columns = (torch.tensor(_kept(axis, choices)) for axis in (first, second))
    cuts = Layout((first, second)).cuts(choices, LARGEST)
    piece = cut(full, cuts)
    assert torch.equal(piece, full[rows][:, columns])
    is_view = all(len(segments) == 1 for _, segments in cuts)
    assert (piece.untyped_storage().data_ptr() == full.untyped_storage().data_ptr()) == is_view
    expected = full.clone()
    expected[rows[:, None], columns] = 7.0
    paste(full, cuts, torch.full_like(piece, 7.0))
    assert torch.equal(full, expected)


@SOME
@given(axis=AXES, data=st.data())
def test_permutation_moves_the_entries_of_coupled_axes_together(axis: Axis, data: st.DataObject) -> None:
    lengths = {elastic.name: elastic.length(LARGEST) for elastic in ELASTIC}
    orders = {name: data.draw(st.permutations(range(length))) for name, length in lengths.items()}
    named = {
        name: torch.tensor(order) for name, order in orders.items() if name != "b" or data.draw(st.booleans())
    }
    permutation = axis.permutation(named, LARGEST).tolist()
    labels = _labels(axis)
    assert sorted(permutation) == list(range(len(labels)))
    for position, source in enumerate(permutation):
        assert labels[source] == tuple(
            (key, orders[key.name][place]) if isinstance(key, Elastic) and key.name in named else (key, place)
            for key, place in labels[position]
        )


@SOME
@given(axis=AXES, seed=st.integers(0, 1000))
def test_importance_adds_up_the_entries_of_each_place(axis: Axis, seed: int) -> None:
    labels = _labels(axis)
    scores = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected: dict[str, list[float]] = {}
    for label, score in zip(labels, scores.tolist(), strict=True):
        for key, place in label:
            if isinstance(key, Elastic):
                expected.setdefault(key.name, [0.0] * key.length(LARGEST))[place] += score
    importance = axis.importance(scores, LARGEST)
    assert importance.keys() == expected.keys()
    for name, score in expected.items():
        np.testing.assert_allclose(importance[name], score, rtol=1e-12)


@SOME
@given(axis=AXES, data=st.data())
def test_importance_follows_a_permutation(axis: Axis, data: st.DataObject) -> None:
    """Scores of the permuted axis are the permuted scores: sorting one tensor does not upset another's order."""
    orders = {e.name: torch.tensor(data.draw(st.permutations(range(e.length(LARGEST))))) for e in ELASTIC}
    scores = torch.arange(float(axis.length(LARGEST)))
    before = axis.importance(scores, LARGEST)
    after = axis.importance(scores[axis.permutation(orders, LARGEST)], LARGEST)
    for name, score in before.items():
        assert torch.equal(after[name], score[orders[name]])


@SOME
@given(axis=AXES)
def test_dimensions_are_those_that_change_the_length(axis: Axis) -> None:
    small = {"a": 1, "b": 1, "r": 0.5}
    for name in LARGEST:
        if axis.length(LARGEST | {name: small[name]}) != axis.length(LARGEST):
            assert name in axis.dimensions
    assert set(axis.dimensions) <= set(LARGEST)


def test_equal_axes_are_equal_and_hashable() -> None:
    axis = Cat(Repeat(Elastic("a"), 2), Fixed(3))
    assert axis == Cat(Repeat(Elastic("a"), 2), Fixed(3))
    assert hash(axis) == hash(Cat(Repeat(Elastic("a"), 2), Fixed(3)))
    assert axis != Cat(Repeat(Elastic("a"), 3), Fixed(3))
    assert Elastic("a") != Elastic("a", Chosen("b"))


def test_an_axis_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Fixed(3).n = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_worked_examples_of_the_design() -> None:
    """Fused q, k, v of 2 of 3 heads of 4; a gate's halves; hidden ⊕ skip; a flattened map."""
    heads = Repeat(Elastic("heads"), 4)
    qkv = Cat(heads, heads, heads)
    assert qkv.segments({"heads": 2}, {"heads": 3}) == ((0, 8), (12, 20), (24, 32))
    sizes = Repeat(Elastic("heads"), Elastic("size"))
    assert sizes.segments({"heads": 2, "size": 3}, {"heads": 3, "size": 4}) == ((0, 3), (4, 7))
    both = Cat(Elastic("hidden"), Elastic("skip"))
    assert both.segments({"hidden": 6, "skip": 4}, {"hidden": 8, "skip": 4}) == ((0, 6), (8, 12))
    assert both.segments({"hidden": 8, "skip": 2}, {"hidden": 8, "skip": 4}) == ((0, 10),)
    assert Repeat(Elastic("c"), 49).segments({"c": 3}, {"c": 5}) == ((0, 147),)
