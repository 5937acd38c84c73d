"""A testbed whose figures are formulas: latency and quality are known exactly, measuring adds a chosen bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.models import Quality
from nas.search import Budget, Outcome, SearchConfig, new_run
from nas.search.testbed.scorer import Scorer
from nas.space import Dimension, SearchSpace, Subnet

TOP1 = Quality("top1", "top-1", "%")


def make_space(stages: int = 2, blocks: int = 3) -> SearchSpace:
    """Return a space of stages with depth, and a width and kernel for each block."""
    dimensions = []
    for stage in range(1, stages + 1):
        dimensions.append(Dimension(f"stage{stage}.depth", tuple(range(1, blocks + 1))))
        for block in range(1, blocks + 1):
            deep = (f"stage{stage}.depth", tuple(range(block, blocks + 1))) if block > 1 else None
            dimensions.append(Dimension(f"stage{stage}.block{block}.kernel", (3, 5, 7), deep))
            dimensions.append(Dimension(f"stage{stage}.block{block}.expand", (3, 4, 6), deep))
    return SearchSpace(f"fake-{stages}x{blocks}", dimensions)


def weights_of(space: SearchSpace, seed: int) -> np.ndarray:
    """Return rising one-hot weights: a later choice is always worth (or costs) more."""
    rng = np.random.default_rng(seed)
    return np.concatenate([np.cumsum(rng.uniform(0.2, 1.0, len(d.choices))) for d in space.dimensions])


@dataclass(frozen=True)
class FakeMeasurement:
    median_ms: float

    @property
    def p90_ms(self) -> float:
        return self.median_ms * 1.05

    pace: float = 1.0
    busy: float = 0.0
    is_restless: bool = False
    calm: Mapping[str, float] = field(default_factory=dict)

    def rebased(self, calm: Mapping[str, float]) -> FakeMeasurement:
        return self

    def of(self, statistic: str) -> float:
        return {"median": self.median_ms, "p90": self.p90_ms, "p99": self.median_ms * 1.1}[statistic]


@dataclass
class FakeScorer:
    weights: np.ndarray
    space: SearchSpace
    source: str = "predicted"
    quality: Quality = TOP1
    check: Scorer | None = None
    data: str | None = None
    doubt: float = 0.0
    known: np.ndarray | None = None

    def score(self, codes: np.ndarray) -> np.ndarray:
        linear = self.space.encode(codes) @ self.weights
        return self.quality.sign * 60.0 + 0.4 * linear + 0.1 * np.sin(linear)


@dataclass
class FakeTestbed:
    """`bias` is measured over predicted latency; `noise` gives its standard deviation between measurements."""

    space: SearchSpace = field(default_factory=make_space)
    source: str = "predicted"
    bias: Callable[[np.ndarray], np.ndarray] = lambda codes: np.ones(len(codes))
    noise: float = 0.0
    hint: Callable[[np.ndarray], np.ndarray] | None = None
    pass_dimensions: Sequence[str] = ()
    statistic: str = "median"
    threads: int = 1
    doubt: str = ""
    is_restless: bool = False
    pace: float = 1.0
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.cost_weights = weights_of(self.space, 1)
        self.scorer = FakeScorer(weights_of(self.space, 2), self.space, self.source)
        self.measured: list[np.ndarray] = []
        self.rng = np.random.default_rng(0)

    def counts(self, codes: np.ndarray) -> np.ndarray:
        size = self.space.encode(codes) @ self.cost_weights
        return np.column_stack([np.rint(1e6 * size), np.rint(1e5 * size), np.rint(4e5 * size)])

    def latency_ms(self, codes: np.ndarray) -> np.ndarray:
        return 1.0 + self.space.encode(codes) @ self.cost_weights

    def true_ms(self, codes: np.ndarray) -> np.ndarray:
        return self.latency_ms(codes) * self.bias(codes)

    def extremes_ms(self) -> tuple[float, float]:
        low, high = self.true_ms(self.space.codes([self.space.smallest(), self.space.largest()])).tolist()
        return low, high

    @property
    def is_ready(self) -> bool:
        return True

    def prepare(self) -> None:
        pass

    def measure(self, codes: np.ndarray) -> Sequence[FakeMeasurement]:
        self.measured.append(codes)
        shaken = self.true_ms(codes) * np.exp(self.noise * self.rng.standard_normal(len(codes)))
        return [FakeMeasurement(value, self.pace, self.busy, self.is_restless) for value in shaken.tolist()]

    def keep_program(self, subnet: Subnet, folder: Path) -> Path | None:
        (folder / "model.onnx").write_bytes(subnet.to_json().encode())
        return folder / "model.onnx"

    def describe(self) -> dict[str, Any]:
        return {"runtime": {"name": "fake", "version": "1"}, "workload": {}, "latency_error": None}


LIMIT = 15.0
SPACE = make_space(3, 3)


def searched(
    path: Path, bed: FakeTestbed | None = None, budget: Budget | None = None, trials: int | None = None
) -> Outcome:
    """Search in a new folder on a testbed of formulas."""
    config = SearchConfig(budget or Budget(latency_ms=LIMIT), "fake", trials=trials)
    return new_run(config, bed or FakeTestbed(SPACE), path, "fake")
