"""Which way is worth it."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from nas.compress import recommend


@dataclass(frozen=True)
class QuantizationScheme:
    speedup: float
    size_bytes: int
    score: float


FLOATS = QuantizationScheme(1.0, 1000, 0.0)
schemes = st.builds(QuantizationScheme, st.floats(0.1, 4), st.integers(1, 2000), st.floats(-9, 9))


@given(st.lists(schemes, max_size=6), st.floats(-9, 9))
def test_for_speed_the_most_accurate_that_is_fast_enough(
    tried: list[QuantizationScheme], least: float
) -> None:
    chosen = recommend(FLOATS, tried, worth=1.2, least=least)
    fine = [way for way in tried if way.speedup >= 1.2 and way.score >= least]
    if chosen is None:
        assert not fine
    else:
        assert chosen in fine and chosen.score == max(way.score for way in fine)


@given(st.lists(schemes, max_size=6), st.floats(-9, 9))
def test_for_size_the_smallest_that_is_smaller(tried: list[QuantizationScheme], least: float) -> None:
    chosen = recommend(FLOATS, tried, "size", least=least)
    fine = [way for way in tried if way.size_bytes < 1000 and way.score >= least]
    if chosen is None:
        assert not fine
    else:
        assert chosen in fine and chosen.size_bytes == min(way.size_bytes for way in fine)
