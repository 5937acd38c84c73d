"""A compression recipe as a few sliders: shares that stand for many dimensions of a space at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SLIDERS = {
    "width": ("groups", "heads", "width", "channels", "expand"),
    "blocks": ("depth",),
    "bits": ("bits",),
}
"""Which last names of dimensions each slider stands for."""


def kinds(dimensions: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the sliders that a space has something for, with the dimensions of each."""
    found: dict[str, list[str]] = {}
    for slider, shorts in SLIDERS.items():
        names = [
            name
            for name, choices in dimensions.items()
            if name.rpartition(".")[2] in shorts and len(choices) > 1
        ]
        if names:
            found[slider] = names
    return found


def general(dimensions: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the dimensions that stand alone: steps, guided, reuse, resolution."""
    return [name for name, choices in dimensions.items() if "." not in name and len(choices) > 1]


def nearest(choices: Sequence[Any], share: float) -> Any:
    """Return the choice that is nearest to a share of the largest, or for words and bools of the list."""
    if all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
        return min(choices, key=lambda choice: abs(choice - share * choices[-1]))
    return choices[min(len(choices) - 1, int(share * len(choices)))]


def recipe(
    dimensions: Mapping[str, Sequence[Any]], shares: Mapping[str, float], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return choices of all dimensions: the largest, but for what sliders (`shares`) and single ones (`own`) say."""
    chosen = {name: choices[-1] for name, choices in dimensions.items()}
    for slider, names in kinds(dimensions).items():
        if slider in shares:
            chosen |= {name: nearest(dimensions[name], shares[slider]) for name in names}
    return chosen | {name: value for name, value in own.items() if name in chosen}
