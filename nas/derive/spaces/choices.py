"""Which lengths of a dimension are offered."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

SHARES = (0.25, 0.5, 0.75, 1.0)
GRAIN = 8
"""What lengths of tensors are multiples of where the full one is: vector units work on so many numbers at once."""


def lengths_of(units: int, unit: int, shares: Sequence[float] = SHARES) -> tuple[int, ...]:
    """Return the lengths that are offered of a dimension, ascending; one alone where there is nothing to choose.

    Args:
        units: of the largest network.
        unit: entries of a tensor that go with a unit. Their number stays a multiple of 8 where it is one. No length is
            1: an axis of one entry broadcasts silently.
        shares: of the full length, beside the whole.
    """
    step = GRAIN // gcd(GRAIN, unit) if units * unit % GRAIN == 0 else 1
    least = step if step > 1 else 2
    return tuple(
        sorted({min(units, max(least, round(share * units / step) * step)) for share in (*shares, 1.0)})
    )
