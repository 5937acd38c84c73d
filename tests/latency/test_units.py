"""Durations, counts and bytes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import UsageError
from nas.latency.units import (
    format_bytes,
    format_count,
    format_ms,
    parse_bytes,
    parse_count,
    parse_duration_ms,
)


@pytest.mark.parametrize(("text", "ms"), [("20ms", 20.0), ("0.8ms", 0.8), ("1s", 1000.0), ("500us", 0.5)])
def test_durations(text: str, ms: float) -> None:
    assert parse_duration_ms(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["banana", "0ms", "-3ms", "", "20", "nanms", "infms", "3 parsecs"])
def test_a_bad_duration_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration_ms(text)
    assert repr(text)[1:-1] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("parse", [parse_count, parse_bytes])
@pytest.mark.parametrize("text", ["much", "0", "-5M", "1e"])
def test_bad_counts_and_sizes(parse, text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_counts_and_bytes() -> None:
    assert parse_count("20M") == 20_000_000
    assert parse_bytes("1.5MB") == 1_500_000


@given(st.floats(1e-3, 1e6))
def test_what_is_printed_can_be_read_again(ms: float) -> None:
    assert parse_duration_ms(format_ms(ms).replace(" ", "")) == pytest.approx(ms, rel=0.06)


@given(st.integers(1, 10**12))
def test_counts_round_trip(value: int) -> None:
    assert parse_count(format_count(value).replace(" ", "")) == pytest.approx(value, rel=0.06)
    assert parse_bytes(format_bytes(value).replace(" ", "")) == pytest.approx(value, rel=0.06)
