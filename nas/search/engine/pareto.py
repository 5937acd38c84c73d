"""Pareto fronts: what no other candidate beats on every objective at once. All objectives here are minimised."""

from __future__ import annotations

import numpy as np


def front(points: np.ndarray) -> np.ndarray:
    """Return the positions of the non-dominated rows of `points` (n, 2), the first objective rising.

    Of equal points the first is kept. Rows with NaN are never on the front.
    """
    valid = np.flatnonzero(~np.isnan(points).any(axis=1))
    order = valid[np.lexsort((valid, points[valid, 1], points[valid, 0]))]
    if len(order) == 0:
        return order
    second = points[order, 1]
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
    return order[second < best_before]


def peel(points: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` positions among the `allowed` rows, front after front; of the last one an even choice."""
    left = np.flatnonzero(allowed)
    chosen: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    total = 0
    while total < count and len(left):
        layer = front(points[left])
        if len(layer) == 0:
            break
        room = count - total
        even = np.linspace(0, len(layer) - 1, min(room, len(layer))).round().astype(np.int64)
        chosen.append(left[layer][even])
        total += len(chosen[-1])
        left = np.delete(left, layer)
    return np.concatenate(chosen)
