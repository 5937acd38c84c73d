"""The evolutionary search of once-for-all (Cai et al. 2020): the baseline, and `--sampler evolution`.

Population 100, a quarter of it parents, half of each generation mutated (each choice redrawn with probability 0.1),
half crossed over. What breaks a limit is drawn again.
"""

from __future__ import annotations

import numpy as np

from nas.search.engine.problem import Problem, keys

_PARENTS = 25
_RATE = 0.1
_TRIES = 200


class OnceForAllEvolution:
    """Proposes one generation after another, from the evaluations alone, as `Engine` does."""

    population = 100

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        self.problem = problem
        self._seed = seed

    def ask(self, count: int, codes: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """Return up to `count` new codes within the limits, given the `quality` (n,) of `codes` (n, d)."""
        rng = np.random.default_rng([self._seed, 4, len(codes)])
        parents = codes[np.argsort(-quality, kind="stable")[:_PARENTS]]
        known = set(keys(codes))
        chosen: list[np.ndarray] = []
        for _ in range(_TRIES):
            drawn = self._draw(parents, 2 * count, rng)
            drawn = drawn[self.problem.feasible(self.problem.costs(drawn))]
            for row, key in zip(drawn, keys(drawn), strict=True):
                if key not in known and len(chosen) < count:
                    known.add(key)
                    chosen.append(row)
            if len(chosen) == count:
                break
        return np.array(chosen, dtype=np.int16).reshape(len(chosen), len(self.problem.space.dimensions))

    def _draw(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        space = self.problem.space
        if len(parents) < 2:
            return space.sample_codes(rng, count)
        first, second = (parents[rng.integers(0, len(parents), count)] for _ in range(2))
        crossed = space.crossover_codes(first, second, rng)
        return np.where(rng.random((count, 1)) < 0.5, crossed, space.mutate_codes(first, rng, _RATE))
