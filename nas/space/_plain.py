"""The largest network with other settings of what touches no weight."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from nas.space._space import SearchSpace


def plain_codes(space: SearchSpace, names: Sequence[str]) -> np.ndarray | None:
    """Return the largest network with all settings of the dimensions `names`, or None where there are none."""
    if not names:
        return None
    largest = space.largest()
    settings = product(*(space[name].choices for name in names))
    subnets = [{**largest, **dict(zip(names, chosen, strict=True))} for chosen in settings]
    return space.codes([space.subnet(subnet) for subnet in subnets])
