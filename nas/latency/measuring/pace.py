"""The pace of a machine: how much longer a run takes now than when the machine is calm.

A machine's pace changes by half for minutes: a neighbour on the same core, a processor that boosts or cools down. The
reference programs, the smallest and the largest subnet of the family that is measured, run in the same turns as what
is measured; their own calm latencies are kept on disk. A slow phase slows small programs more than large ones (their
time goes to calls rather than to products), so that the pace of a program between the two is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.latency.measuring.process import Burst

CALM = 0.08  # a turn is at the calm pace where the reference programs take at most this much longer than calm
WAITED = 0.02  # the share of a burst that its threads may wait for a core
UNEVEN = 0.25  # how far the paces of the reference programs may differ: in slow phases it was 0.15
_SAME = 0.04  # calm latencies this near to each other are of one pace, and averaged
_FEWEST = 4  # bursts of a reference program that tell its latency
_MOST = 50  # sessions that a calm latency remembers


@dataclass(frozen=True)
class CalmLatency:
    """The calm latency of a reference program in ms; `seen` is the day when it was seen, in `sessions` sessions."""

    ms: float
    seen: str
    sessions: int = 1

    def merged(self, ms: float, day: str) -> CalmLatency:
        """Return what is known after another session in which the program took `ms` at its calmest.

        A calmer session replaces, one of the same pace is averaged, a slower one says nothing of the calm pace.
        """
        if ms < self.ms * (1 - _SAME):
            return CalmLatency(ms, day)
        if ms > self.ms * (1 + _SAME):
            return self
        count = min(self.sessions, _MOST)
        return CalmLatency((self.ms * count + ms) / (count + 1), day, count + 1)


def session_ms(bursts: Sequence[Burst]) -> float | None:
    """Return a reference program's latency at the calmest pace of a session, None where too little was seen.

    That is the median of the undisturbed bursts near the quick tenth: a single lucky burst decides nothing.
    """
    calm = [burst.median_ms for burst in bursts if burst.waited_share <= WAITED]
    if len(calm) < _FEWEST:
        return None
    quick = float(np.quantile(calm, 0.1))
    return float(np.median([ms for ms in calm if ms <= quick * (1 + CALM)]))


def pace_of(raw_ms: float, now: Mapping[str, float], calm: Mapping[str, float]) -> float:
    """Return raw over calm latency for a program that takes `raw_ms` while the reference programs take `now`.

    Args:
        raw_ms: What a run of the program takes now.
        now: What a run of each reference program takes now, by name.
        calm: Their calm latencies, by name.

    Returns:
        1.0 on a calm machine, 1.5 where everything takes half as long again; 1.0 without reference programs.
    """
    names = sorted((name for name in now if name in calm), key=lambda name: now[name])
    if not names:
        return 1.0
    sizes = np.log([now[name] for name in names])
    paces = np.log([now[name] / calm[name] for name in names])
    return float(np.exp(np.interp(np.log(raw_ms), sizes, paces)))


def is_uneven(now: Mapping[str, float], calm: Mapping[str, float]) -> bool:
    """Whether the reference programs have such different paces that they tell nothing of another program's."""
    paces = [now[name] / calm[name] for name in now if name in calm]
    return bool(paces) and max(paces) > (1 + UNEVEN) * min(paces)


def is_calm(now: Mapping[str, float], calm: Mapping[str, float]) -> bool:
    """Whether no reference program takes notably longer than when the machine is calm."""
    return all(now[name] <= calm[name] * (1 + CALM) for name in now if name in calm)


def rescaling(ms: np.ndarray, then: Mapping[str, float], now: Mapping[str, float]) -> np.ndarray:
    """Return by what latencies (n,) change when calm latencies of reference programs are found to be others.

    Between two reference programs it is interpolated over the logarithm of the latency, beyond them it is the nearer's.
    """
    names = sorted((name for name in then if name in now), key=lambda name: then[name])
    if not names:
        return np.ones(len(ms))
    sizes = np.log([then[name] for name in names])
    return np.exp(np.interp(np.log(ms), sizes, np.log([now[name] / then[name] for name in names])))
