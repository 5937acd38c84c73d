"""Rules for the length of an elastic axis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.elastic import Chosen, Divided, Scaled, make_divisible
from nas.space import SpaceError


@pytest.mark.parametrize(
    ("value", "divisor", "expected"),
    [
        (16, 8, 16),
        (19, 8, 24),
        (20, 8, 24),
        (18, 8, 24),
        (17, 8, 16),
        (3, 8, 8),
        (40 * 1.2, 8, 48),
        (112 * 1.2, 8, 136),
    ],
)
def test_make_divisible_rounds_as_published(value: float, divisor: int, expected: int) -> None:
    assert make_divisible(value, divisor) == expected


@given(value=st.floats(1, 5000), divisor=st.integers(1, 64))
def test_make_divisible_never_loses_more_than_a_tenth(value: float, divisor: int) -> None:
    rounded = make_divisible(value, divisor)
    assert rounded % divisor == 0
    assert rounded >= max(divisor, 0.9 * value)
    assert rounded <= max(divisor, value + divisor)


def test_chosen_is_the_choice() -> None:
    assert Chosen("width")({"width": 24, "other": 3}) == 24
    assert Chosen("width")({"width": 24.0}) == 24
    assert Chosen("width").dimensions == ("width",)


@pytest.mark.parametrize("choice", ["wide", 2.5])
def test_chosen_needs_a_whole_number(choice: str | float) -> None:
    with pytest.raises(SpaceError, match=rf"width is {choice!r}, but a length needs a whole number"):
        Chosen("width")({"width": choice})


def test_scaled_rounds_the_product() -> None:
    assert Scaled(24, "expand")({"expand": 6}) == 144
    assert Scaled(20, "expand")({"expand": 3}) == 64
    assert Scaled(20, "expand", divisor=4)({"expand": 3}) == 60
    assert Scaled(Chosen("width"), "ratio", divisor=2)({"width": 10, "ratio": 1.5}) == 16
    assert Scaled(Chosen("width"), "ratio").dimensions == ("width", "ratio")
    assert Scaled(24, "expand").dimensions == ("expand",)


def test_scaled_needs_a_number() -> None:
    with pytest.raises(SpaceError, match="ratio is 'half', but a ratio must be a number"):
        Scaled(24, "ratio")({"ratio": "half"})


def test_divided_follows_another_length() -> None:
    wide = Scaled(40, "expand")
    narrow = Divided(wide, 4)
    assert [narrow({"expand": expand}) for expand in (3, 4, 6)] == [32, 40, 64]
    assert narrow.dimensions == ("expand",)


def test_rules_are_values() -> None:
    assert Divided(Scaled(40, "e"), 4) == Divided(Scaled(40, "e"), 4)
    assert len({Chosen("a"), Chosen("a"), Chosen("b")}) == 2
