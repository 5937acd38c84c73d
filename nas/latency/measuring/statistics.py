"""Medians with confidence, and disturbed samples.

The interval of a median comes from order statistics: the number of samples below the true median is binomial, whatever
their distribution (Le Boudec and Le Boudec 2010, "Performance Evaluation", appendix A).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb

import numpy as np

CONFIDENCE = 0.95
# How far above a program's quick quartile a burst may lie before something else must have slowed it down. A quiet
# machine repeats itself within 1-2%.
DISTURBED = 0.06


def undisturbed(values: Sequence[float]) -> list[bool]:
    """Tell for each sample whether it lies within `DISTURBED` of the quick quartile of all."""
    limit = (1 + DISTURBED) * float(np.quantile(values, 0.25))
    return [value <= limit for value in values]


@cache
def _median_rank(count: int) -> int:
    """Return the largest k so that the k-th smallest to the k-th largest sample hold the median with confidence."""
    tail, rank = 0.0, 0
    while rank < count // 2:
        tail += comb(count, rank) * 0.5**count
        if 2 * tail > 1 - CONFIDENCE:
            break
        rank += 1
    return max(rank, 1)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of the median; with fewer than six samples it is their whole range."""
    ordered = sorted(values)
    rank = _median_rank(len(ordered))
    return ordered[rank - 1], ordered[-rank]
