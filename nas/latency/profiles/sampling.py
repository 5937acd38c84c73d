"""Which subnets are measured for a profile: the ends of the space, and between them evenly over MACs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nas.models import Model


def choose_samples(model: Model, count: int, seed: int) -> np.ndarray:
    """Return codes (count, dimensions) that cover the space: the smallest, the largest, then evenly over log MACs.

    Subnets drawn uniformly crowd around the middle; half of the pool comes from mutated ends, so that both ends are
    covered too.
    """
    rng = np.random.default_rng(seed)
    pool, ends = pool_of(model, count, rng)
    pool = pool[~((pool[:, None] == ends[None]).all(2).any(1))]
    chosen = spread(np.log(model.supernet.counts(pool)["macs"]), max(count - len(ends), 0), rng)
    return np.concatenate([ends, pool[rng.permutation(chosen)]])[:count]


def pool_of(model: Model, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return different subnets to choose from, and the smallest and the largest."""
    space = model.space
    ends = space.codes([space.smallest(), space.largest()])
    near = [space.mutate_codes(np.repeat(ends, 10 * count, axis=0), rng, rate) for rate in (0.1, 0.3, 0.5)]
    return np.unique(np.concatenate([space.sample_codes(rng, 20 * count), *near]), axis=0), ends


def spread(log_macs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to `count` positions, evenly over log MACs."""
    order = np.argsort(log_macs, kind="stable")
    edges = np.linspace(log_macs.min(), log_macs.max(), count + 1)
    chosen = []
    for low, high in pairwise(edges):
        inside = order[np.searchsorted(log_macs[order], low) : max(np.searchsorted(log_macs[order], high), 0)]
        left = np.setdiff1d(inside, chosen) if len(inside) else np.setdiff1d(order, chosen)
        if len(left):
            chosen.append(int(rng.choice(left)))
    return np.array(chosen, dtype=int)
