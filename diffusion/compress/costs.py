"""What each smaller choice is thought to cost: measured errors, and between them the importance of what is left out.

The error of a choice alone, all else being the largest, is measured against the full network's output. Where a
dimension keeps the most important of several entries (groups, heads, widths), only its smallest choice is measured; the
others have the share of that error which the importance of the left out entries has of all that it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from diffusion.compress.sensitivity import Sensitivity
from nas.elastic import Family
from nas.space import Choice, SearchSpace


@dataclass(frozen=True)
class Costs:
    """The cost of every choice by dimension, in the order of its choices; the last, the largest, costs nothing."""

    space: SearchSpace
    table: Mapping[str, np.ndarray]

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Return the cost (n,) of subnets by their codes (n, dimensions): the sum over what is in them."""
        total = np.zeros(len(codes))
        for column, name in enumerate(self.space.names):
            if name in self.table:
                total += np.append(self.table[name], 0.0)[
                    codes[:, column]
                ]  # code -1, inactive, reads the last
        return total


def wanted_rows(family: Family, importance: Mapping[str, Tensor]) -> list[tuple[str, Choice]]:
    """Return the dimensions and choices to be measured: every smaller one, but of sorted entries the smallest alone."""
    found: list[tuple[str, Choice]] = []
    for dimension in family.space.dimensions:
        if dimension.name not in family.pass_dimensions and len(dimension.choices) > 1:
            smaller = dimension.choices[:1] if dimension.name in importance else dimension.choices[:-1]
            found += [(dimension.name, choice) for choice in smaller]
    return found


def costs_of(space: SearchSpace, importance: Mapping[str, Tensor], rows: Iterable[Sensitivity]) -> Costs:
    """Return the costs by measured `rows` and between them by `importance`, of entries as they stand: first, kept."""
    measured: dict[str, dict[Choice, float]] = {}
    for row in rows:
        measured.setdefault(row.dimension, {})[row.choice] = row.error
    table = {
        name: _costs(space[name].choices, known, importance.get(name)) for name, known in measured.items()
    }
    return Costs(space, table)


def _costs(choices: Sequence[Choice], known: Mapping[Choice, float], scores: Tensor | None) -> np.ndarray:
    errors = np.array([known.get(choice, np.nan) for choice in choices[:-1]] + [0.0])
    if np.isnan(errors).any():
        assert scores is not None
        ordered = scores.double().cpu().numpy()
        lost = np.array([ordered[int(choice) :].sum() for choice in choices])
        errors = np.where(np.isnan(errors), errors[0] * lost / max(lost[0], 1e-300), errors)
    # More left out never costs less: what a measurement says beyond that is chance.
    return np.maximum.accumulate(errors[::-1])[::-1]
