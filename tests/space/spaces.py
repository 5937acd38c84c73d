"""Small search spaces for the tests, and a strategy that draws any."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from nas.space import Dimension, SearchSpace, Subnet

NESTED = SearchSpace(
    "nested",
    [
        Dimension("resolution", (24, 32)),
        Dimension("depth", (1, 2, 3)),
        Dimension("block1.kernel", (3, 5)),
        Dimension("block2.kernel", (3, 5), active_if=("depth", (2, 3))),
        Dimension("block3.kernel", (3, 5), active_if=("depth", (3,))),
        Dimension("block3.taps", ("few", "many"), active_if=("block3.kernel", (5,))),
    ],
)
"""Resolutions × kernels of the blocks that the depth keeps; the last dimension hangs on a chain of conditions."""


def enumerate_space(space: SearchSpace) -> set[Subnet]:
    """Return every subnet of a small space by brute force."""
    mappings = itertools.product(*(dimension.choices for dimension in space.dimensions))
    return {space.subnet(dict(zip(space.names, choices, strict=True))) for choices in mappings}


@st.composite
def search_spaces(draw: st.DrawFn) -> SearchSpace:
    """Draw a space of up to six dimensions of any type, with conditions that may hang on one another."""
    dimensions: list[Dimension] = []
    for index in range(draw(st.integers(1, 6))):
        active_if = None
        if dimensions and draw(st.booleans()):
            parent = draw(st.sampled_from(dimensions))
            values = draw(
                st.lists(st.sampled_from(parent.choices), unique=True, max_size=len(parent.choices))
            )
            active_if = (parent.name, tuple(values))
        dimensions.append(Dimension(f"d{index}", draw(_CHOICES), active_if))
    return SearchSpace("drawn", dimensions)


def _tuples(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(tuple)


_CHOICES = st.one_of(
    _tuples(st.integers(-5, 300)),
    _tuples(st.sampled_from([0.5, 1.0, 1.5, 2.0])),
    _tuples(st.text("abc", min_size=1, max_size=3)),
    _tuples(st.booleans(), 2),
)
