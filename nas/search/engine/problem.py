"""What a search knows before it starts: the space, what a subnet costs, the limits, and perhaps a predicted quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.space import SearchSpace

CodesToCosts = Callable[[np.ndarray], np.ndarray]
CodesToQuality = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Maximise quality subject to `costs(codes) <= limits`.

    `names` are the costs' names (m of them), the first being the one along which the Pareto front is laid out;
    `costs` maps codes (n, dimensions) to (n, m); `limits` is (m,), infinite where there is none. `quality`, when
    given, predicts the quality of codes (n,) and is what the search maximises; without it quality is learned from
    the evaluated trials. `hint` is a cheap prediction that helps to learn it (it need not be right).

    `plain` are codes (n, dimensions) worth a look before any model is: the largest network with other settings that
    touch no weight. `known` are codes whose quality was measured already: `quality` gives that, and they are thought of
    from the start. `link` makes of qualities, without changing their order, what effects of choices add up in.
    """

    space: SearchSpace
    names: tuple[str, ...]
    costs: CodesToCosts
    limits: np.ndarray
    quality: CodesToQuality | None = None
    hint: CodesToQuality | None = None
    plain: np.ndarray | None = None
    known: np.ndarray | None = None
    link: Callable[[np.ndarray], np.ndarray] | None = None

    def feasible(self, costs: np.ndarray, limits: np.ndarray | None = None) -> np.ndarray:
        """Return which rows of `costs` (n, m) keep the limits (m,) or row-wise (n, m)."""
        return np.all(costs <= (self.limits if limits is None else limits), axis=1)

    def smallest(self) -> np.ndarray:
        """Return the codes (1, dimensions) of the smallest subnet."""
        return self.space.codes([self.space.smallest()])

    def largest(self) -> np.ndarray:
        """Return the codes (1, dimensions) of the largest subnet."""
        return self.space.codes([self.space.largest()])


class Pool:
    """Different subnets with their costs and scores, in the order in which they were met."""

    def __init__(self, problem: Problem) -> None:
        width = len(problem.space.dimensions)
        self._seen: set[bytes] = set()
        self.codes = np.empty((0, width), dtype=np.int16)
        self.costs = np.empty((0, len(problem.names)))
        self.scores = np.empty(0)

    def __len__(self) -> int:
        return len(self.codes)

    def fresh(self, codes: np.ndarray) -> np.ndarray:
        """Return the positions of rows that are new, each different subnet once, and remember them."""
        positions = []
        for position, row in enumerate(keys(codes)):
            if row not in self._seen:
                self._seen.add(row)
                positions.append(position)
        return np.array(positions, dtype=np.int64)

    def add(self, codes: np.ndarray, costs: np.ndarray, scores: np.ndarray) -> None:
        """Append rows that `fresh` has let through."""
        self.codes = np.concatenate([self.codes, codes])
        self.costs = np.concatenate([self.costs, costs])
        self.scores = np.concatenate([self.scores, scores])


def keys(codes: np.ndarray) -> list[bytes]:
    """Return a hashable key for each row of canonical codes: equal subnets have equal keys."""
    packed = np.ascontiguousarray(codes, dtype=np.int16)
    return [row.tobytes() for row in packed]
