"""The best subnet of an additive model under an additive cost: an exact multiple-choice knapsack.

Dynamic programming over the cost, as in Kellerer, Pferschy and Pisinger, "Knapsack Problems" (2004), chapter 11. A
dimension is a class of choices of which exactly one is taken; a choice that activates other dimensions (a stage's
depth and its blocks) brings their classes along. Many value vectors and many budgets are solved in one sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.space import INACTIVE, SearchSpace

Children = list[list[list[int]]]


def feature_offsets(space: SearchSpace) -> np.ndarray:
    """Return the first column of each dimension in `space.encode`, and the number of columns last."""
    return np.concatenate([[0], np.cumsum([len(dimension.choices) for dimension in space.dimensions])])


def children_of(space: SearchSpace) -> tuple[list[int], Children]:
    """Return the unconditional dimensions and, for every dimension and choice, the dimensions it activates."""
    children: Children = [[[] for _ in dimension.choices] for dimension in space.dimensions]
    roots: list[int] = []
    for position, dimension in enumerate(space.dimensions):
        if dimension.active_if is None:
            roots.append(position)
            continue
        parent = space.names.index(dimension.active_if[0])
        for value in dimension.active_if[1]:
            children[parent][space.dimensions[parent].index(value)].append(position)
    return roots, children


@dataclass(frozen=True)
class _Step:
    """What one dimension's extension chose for every (value vector, cost), to trace a solution back."""

    position: int
    pick: np.ndarray
    branches: list[list[_Step]]


class Knapsack:
    """Solve max values·x subject to costs·x ≤ budget over the one-hot encodings x of a search space."""

    def __init__(self, space: SearchSpace) -> None:
        self._offsets = feature_offsets(space)
        self._roots, self._children = children_of(space)
        self._count = len(space.dimensions)
        self._parents: list[list[int]] = [[] for _ in space.dimensions]
        for parent, choices in enumerate(self._children):
            for choice, kids in enumerate(choices):
                for kid in kids:
                    self._parents[kid].append(int(self._offsets[parent]) + choice)

    def solve(
        self, values: np.ndarray, costs: np.ndarray, budgets: np.ndarray, bins: int = 1000
    ) -> np.ndarray:
        """Return codes (b, k, dimensions): the best subnet of each of b value vectors for each of k budgets.

        `values` is (b, features), `costs` (features,), `budgets` (k,) on the same scale. Costs are rounded to
        `bins` steps between the cheapest subnet and the largest budget, so a solution may miss its budget by the
        rounding: check it with the true cost. A budget below the cheapest subnet gets the cheapest subnet.
        """
        above, base = self._from_cheapest(np.asarray(costs, dtype=np.float64))
        room = np.maximum(np.asarray(budgets, dtype=np.float64) - base, 0.0)
        top = float(room.max()) or 1.0
        step = top / bins
        whole = np.minimum(np.rint(above / step), bins + 1).astype(np.int64)
        slots = np.minimum(np.floor(room / step + 1e-9), bins).astype(np.int64)
        best = np.zeros((len(values), bins + 1))
        trace: list[_Step] = []
        for root in self._roots:
            best, record = self._extend(best, root, values, whole)
            trace.append(record)
        rows = np.repeat(np.arange(len(values)), len(slots))
        left = np.tile(slots, len(values))
        codes = np.full((len(rows), self._count), INACTIVE, dtype=np.int16)
        everyone = np.arange(len(rows))
        for record in reversed(trace):
            self._trace(record, rows, left, codes, everyone, whole)
        return codes.reshape(len(values), len(slots), self._count)

    def _from_cheapest(self, costs: np.ndarray) -> tuple[np.ndarray, float]:
        """Shift every dimension's costs so that its cheapest choice is free; return them and the cheapest total."""
        costs, base = costs.copy(), 0.0
        for position in reversed(range(self._count)):
            block = slice(self._offsets[position], self._offsets[position + 1])
            cheapest = float(costs[block].min())
            costs[block] -= cheapest
            costs[self._parents[position]] += cheapest
            base += cheapest if position in self._roots else 0.0
        return costs, base

    def _extend(
        self, best: np.ndarray, position: int, values: np.ndarray, whole: np.ndarray
    ) -> tuple[np.ndarray, _Step]:
        """Add one dimension, and what its choices activate, to `best` (value vectors, cost at most)."""
        branches: list[list[_Step]] = []
        top = np.full_like(best, -np.inf)
        pick = np.zeros(best.shape, dtype=np.int8)
        for choice, kids in enumerate(self._children[position]):
            feature = int(self._offsets[position]) + choice
            moved = np.full_like(best, -np.inf)
            shift = int(whole[feature])
            if shift < best.shape[1]:
                moved[:, shift:] = best[:, : best.shape[1] - shift] + values[:, feature, None]
            steps: list[_Step] = []
            for kid in kids:
                moved, record = self._extend(moved, kid, values, whole)
                steps.append(record)
            branches.append(steps)
            better = moved > top
            np.copyto(top, moved, where=better)
            pick[better] = choice
        return top, _Step(position, pick, branches)

    def _trace(
        self,
        step: _Step,
        rows: np.ndarray,
        left: np.ndarray,
        codes: np.ndarray,
        index: np.ndarray,
        whole: np.ndarray,
    ) -> None:
        """Write the choices of queries `index` into `codes` and give their cost back to `left`."""
        pick = step.pick[rows[index], left[index]]
        codes[index, step.position] = pick
        for choice, kids in enumerate(step.branches):
            chosen = index[pick == choice]
            if len(chosen) == 0:
                continue
            for kid in reversed(kids):
                self._trace(kid, rows, left, codes, chosen, whole)
            left[chosen] -= whole[int(self._offsets[step.position]) + choice]
