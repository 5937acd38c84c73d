"""A search whose evaluations take a moment, as a process of its own that a test can kill: python slow_search.py RUN."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from nas.search import Budget, SearchConfig, new_run
from tests.search.fakes import FakeTestbed, make_space

REQUEST = SearchConfig(Budget(latency_ms=12.0), "fake", trials=40, seed=5)


def make_bed(seconds: float = 0.0) -> FakeTestbed:
    """Return the testbed of this search; each evaluation takes `seconds`."""
    bed = FakeTestbed(make_space(2, 3), source="measured")
    quick = bed.scorer.score

    def slow(codes: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return quick(codes)

    bed.scorer.score = slow  # type: ignore[method-assign]
    return bed


if __name__ == "__main__":
    try:
        outcome = new_run(REQUEST, make_bed(0.05), Path(sys.argv[1]), "fake")
    except KeyboardInterrupt:
        sys.exit(131)
    sys.exit(130 if outcome.interrupted else 0)
