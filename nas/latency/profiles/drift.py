"""How far a machine has moved from its profile: a few of the profile's subnets, measured again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas._table import Result, Table
from nas.latency.measuring import measure
from nas.latency.profiles.profile import Profile
from nas.latency.runtimes import Runtime
from nas.latency.units import format_ms
from nas.latency.workload import Workload
from nas.models import Model
from nas.progress import Steps

COUNT = 5


@dataclass(frozen=True)
class Drift(Result):
    """Calm latencies in ms of the same subnets: as the profile has them (`then_ms`) and measured now (`now_ms`).

    `raw_ms` are those of now as the clock had them.
    """

    then_ms: tuple[float, ...]
    now_ms: tuple[float, ...]
    raw_ms: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The median of now over then: 1.2 where the profile's calm latencies are a fifth too low."""
        return float(np.median(np.array(self.now_ms) / np.array(self.then_ms)))

    @property
    def pace(self) -> float:
        """The median of raw over calm latency: 1.2 on a machine that is a fifth slower now than when it is calm."""
        return float(np.median(np.array(self.raw_ms) / np.array(self.now_ms))) if self.raw_ms else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "ratio": self.ratio,
            "pace": self.pace,
            "then_ms": [*self.then_ms],
            "now_ms": [*self.now_ms],
            "raw_ms": [*self.raw_ms],
        }

    def table(self) -> Table:
        """Return a row for each subnet."""
        rows = [
            tuple(map(format_ms, each)) for each in zip(self.then_ms, self.now_ms, self.raw_ms, strict=True)
        ]
        return Table(("when profiled", "now", "by the clock"), rows)


def measure_drift(
    model: Model,
    profile: Profile,
    runtime: Runtime,
    workload: Workload,
    count: int = COUNT,
    progress: Steps | None = None,
) -> Drift:
    """Measure `count` of the profile's samples again, evenly from the quickest to the slowest."""
    order = np.argsort(profile.median_ms, kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
    subnets = [model.space.from_codes(profile.codes[row]) for row in rows]
    measured = measure.measure_subnets(model, subnets, runtime, workload, progress)
    return Drift(
        tuple(profile.median_ms[rows].tolist()),
        tuple(found.median_ms for found in measured),
        tuple(found.median_ms * found.pace for found in measured),
    )
