"""What a search asks of who knows the figures: costs and quality predicted in bulk, latencies measured for a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nas.search.testbed.scorer import Scorer
from nas.search.trials.finalists import Measured
from nas.space import SearchSpace, Subnet


class Testbed(Protocol):
    """The figures of one model, runtime and workload on this machine."""

    @property
    def space(self) -> SearchSpace: ...

    @property
    def scorer(self) -> Scorer: ...

    @property
    def pass_dimensions(self) -> Sequence[str]:
        """The dimensions that decide only what is run how often."""
        ...

    @property
    def hint(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """A quick prediction of a score that is itself measured, if there is one."""
        ...

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """Return MACs, parameters and bytes (n, 3), exactly."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether latencies can be predicted without preparing anything."""
        ...

    @property
    def statistic(self) -> str:
        """What a latency is: "median", "p90" or "p99"."""
        ...

    @property
    def threads(self) -> int:
        """How many threads run a network."""
        ...

    @property
    def doubt(self) -> str:
        """A sentence that says why predicted latencies are not to be trusted; "" where they are."""
        ...

    def extremes_ms(self) -> tuple[float, float]:
        """Return the measured latency of the smallest and of the largest subnet."""
        ...

    def prepare(self) -> None:
        """Make ready to predict latencies; may take a minute."""
        ...

    def latency_ms(self, codes: np.ndarray) -> np.ndarray:
        """Return predicted latencies (n,); asked after `prepare`."""
        ...

    def measure(self, codes: np.ndarray) -> Sequence[Measured]:
        """Measure subnets (n, d) in one fresh process."""
        ...

    def keep_program(self, subnet: Subnet, folder: Path) -> Path | None:
        """Copy the program that was measured for `subnet` into `folder`, where it is a file that can be shipped."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what run.json says about the model, the machine and the predictors."""
        ...
