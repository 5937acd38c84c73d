"""Two pictures in one, to wipe between."""

from __future__ import annotations

import numpy as np

SHOWN = 384
"""How large, in pixels of the page."""


def wiped(first: np.ndarray, second: np.ndarray, share: int, shown: int = SHOWN) -> np.ndarray:
    """Return `share` percent of the first picture beside the rest of the second, enlarged, with a line between."""
    factor = max(1, shown // max(first.shape[:2]))
    first, second = (one.repeat(factor, 0).repeat(factor, 1) for one in (first, second))
    cut = round(first.shape[1] * min(max(share, 0), 100) / 100)
    made = np.concatenate([first[:, :cut], second[:, cut:]], axis=1)
    if 0 < cut < made.shape[1]:
        made[:, max(0, cut - 1) : cut + 1] = 255
    return made
