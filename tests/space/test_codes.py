"""Codes and one-hot rows: the batch forms of subnets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.space import INACTIVE, SearchSpace, SpaceError
from tests.space.spaces import NESTED, enumerate_space, search_spaces

SOME = settings(max_examples=40)


@SOME
@given(space=search_spaces())
def test_codes_and_one_hot_rows_tell_all_subnets_apart(space: SearchSpace) -> None:
    members = sorted(enumerate_space(space), key=repr)
    codes = space.codes(members)
    assert codes.dtype == np.int16
    assert [space.from_codes(row) for row in codes] == members
    assert len({row.tobytes() for row in codes}) == len(members)
    encoded = space.encode(codes)
    assert encoded.dtype == np.float64
    assert encoded.shape == (len(members), len(space.features))
    assert [space.decode(row) for row in encoded] == members


@SOME
@given(space=search_spaces(), seed=st.integers(0, 2**32 - 1))
def test_canonical_codes_equal_the_validated_subnet(space: SearchSpace, seed: int) -> None:
    """Any full row of codes becomes the codes of the subnet of the same choices."""
    rng = np.random.default_rng(seed)
    rows = np.stack([[rng.integers(len(d.choices)) for d in space.dimensions] for _ in range(10)])
    subnets = [
        space.subnet({d.name: d.choices[code] for d, code in zip(space.dimensions, row, strict=True)})
        for row in rows
    ]
    assert np.array_equal(space.canonical_codes(rows), space.codes(subnets))


def test_one_hot_columns_are_named_after_active_choices() -> None:
    assert NESTED.features[:5] == ["resolution=24", "resolution=32", "depth=1", "depth=2", "depth=3"]
    encoded = NESTED.encode(NESTED.codes([NESTED.smallest()]))[0]
    hot = [name for name, value in zip(NESTED.features, encoded, strict=True) if value]
    assert hot == ["resolution=24", "depth=1", "block1.kernel=3"]


def test_no_codes_are_no_rows() -> None:
    assert NESTED.codes([]).shape == (0, 6)
    assert NESTED.encode(NESTED.codes([])).shape == (0, len(NESTED.features))
    assert NESTED.mutate_codes(NESTED.codes([]), np.random.default_rng(0)).shape == (0, 6)
    assert NESTED.crossover_codes(NESTED.codes([]), NESTED.codes([]), np.random.default_rng(0)).shape == (
        0,
        6,
    )


def test_canonical_codes_leave_the_argument_alone() -> None:
    rows = np.zeros((1, 6), dtype=np.int16)
    assert NESTED.canonical_codes(rows).tolist() == [[0, 0, 0, INACTIVE, INACTIVE, INACTIVE]]
    assert not rows.any()


@pytest.mark.parametrize("code", [2, -2, 70_000, 2**16])
def test_a_code_outside_the_choices_is_refused(code: int) -> None:
    rows = np.zeros((1, 6), dtype=np.int64)
    rows[0, 0] = code
    with pytest.raises(SpaceError, match="a code lies outside its dimension's choices"):
        NESTED.canonical_codes(rows)


@pytest.mark.parametrize("code", [2, 70_000])
def test_a_row_with_a_code_outside_the_choices_makes_no_subnet(code: int) -> None:
    with pytest.raises(SpaceError, match="a code lies outside its dimension's choices"):
        NESTED.from_codes(np.array([code, 0, 0, -1, -1, -1]))


def test_an_active_dimension_without_a_code_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"block1\.kernel is active but has no choice"):
        NESTED.canonical_codes(np.array([[0, 0, INACTIVE, INACTIVE, INACTIVE, INACTIVE]]))
    with pytest.raises(SpaceError, match=r"block1\.kernel is missing"):
        NESTED.from_codes(np.array([0, 0, INACTIVE, INACTIVE, INACTIVE, INACTIVE]))


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"codes have shape \(3, 5\), but nested needs \(n, 6\)"):
        NESTED.canonical_codes(np.zeros((3, 5), dtype=np.int16))


def test_a_row_that_is_not_one_hot_is_refused() -> None:
    row = NESTED.encode(NESTED.codes([NESTED.largest()]))[0]
    with pytest.raises(SpaceError, match="resolution has 2 choices at once"):
        NESTED.decode(np.maximum(row, 1.0))
    with pytest.raises(SpaceError, match="resolution is missing"):
        NESTED.decode(np.zeros_like(row))
    with pytest.raises(SpaceError, match=f"a row has {len(row) - 1} columns"):
        NESTED.decode(row[:-1])
