"""From the largest subnet down to a limit: again and again the change that costs least for what it saves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nas.compress.costs import Costs
from nas.elastic import Supernet
from nas.errors import InfeasibleError, UsageError
from nas.latency.units import format_count, parse_count
from nas.space import Subnet

WORDS = {"macs": "MACs", "params": "parameters"}
Limits = Mapping[str, int]
"""At most so many "macs" or "params"."""


def read_limit(kind: str, text: str, full: int) -> int:
    """Read "60%" of the full network's, or a number such as "2M"; raises `UsageError` for anything else."""
    if not text.strip().endswith("%"):
        return parse_count(text)
    try:
        share = float(text.strip()[:-1])
    except ValueError:
        share = -1.0
    if not 0 < share <= 100:
        raise UsageError(
            f"--{kind} is {text!r}; give a share above 0% and up to 100%, such as 60%, or a number, such as 2M"
        )
    return int(full * share / 100)


def fit(supernet: Supernet, costs: Costs, limits: Limits) -> Subnet:
    """Return the subnet within `limits` that the least cost is expected of; the same answer every time.

    Going down, the change with the least cost for the share of the limited numbers that it saves is made, whatever it
    skips; then what still has room is put back, the dearest first. Raises `InfeasibleError` where the smallest subnet
    is too large.
    """
    space = supernet.space
    full = _count(supernet, space.codes([space.largest()]), limits)[0]
    least = _count(supernet, space.codes([space.smallest()]), limits)[0]
    limit = np.array([*limits.values()], dtype=float)
    for name, lowest, most in zip(limits, least, limit, strict=True):
        if lowest > most:
            raise InfeasibleError(
                f"the smallest subnet has {format_count(float(lowest))} {WORDS[name]}, more than the "
                f"{format_count(float(most))} asked for; ask for more"
            )
    now = space.codes([space.largest()])
    while (over := (counts := _count(supernet, now, limits)[0]) > limit).any():
        rows = _changes(costs, now[0], lower=True)
        saved = ((counts - _count(supernet, rows, limits)) / full)[:, over].sum(1)
        spent = costs.of(rows) - costs.of(now)
        rows, saved, spent = rows[saved > 0], saved[saved > 0], spent[saved > 0]
        now = rows[[int(np.argmin(spent / saved))]]
    return space.from_codes(_filled(supernet, costs, now, limits, limit)[0])


def _filled(
    supernet: Supernet, costs: Costs, now: np.ndarray, limits: Limits, limit: np.ndarray
) -> np.ndarray:
    """Put back what has room, the change that saves the most cost first."""
    while len(rows := _changes(costs, now[0], lower=False)):
        rows = rows[(_count(supernet, rows, limits) <= limit).all(1)]
        gain = costs.of(now) - costs.of(rows)
        if not len(rows) or gain.max() <= 0:
            break
        now = rows[[int(np.argmax(gain))]]
    return now


def _count(supernet: Supernet, codes: np.ndarray, limits: Limits) -> np.ndarray:
    found = supernet.counts(codes)
    return np.stack([found[name] for name in limits], axis=1).astype(float)


def _changes(costs: Costs, row: np.ndarray, *, lower: bool) -> np.ndarray:
    """Return the codes of all subnets that differ in one dimension, smaller or larger; what that opens is largest."""
    space, found = costs.space, []
    last = np.array([len(dimension.choices) - 1 for dimension in space.dimensions])
    for column, name in enumerate(space.names):
        if name not in costs.table or row[column] < 0:
            continue
        for code in range(row[column]) if lower else range(row[column] + 1, last[column] + 1):
            changed = np.where(row < 0, last, row)
            changed[column] = code
            found.append(changed)
    if not found:
        return np.empty((0, len(row)), dtype=row.dtype)
    return space.canonical_codes(np.stack(found))
