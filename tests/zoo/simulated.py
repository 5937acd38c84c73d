"""A machine on which a model takes what its operations cost, in place of the measuring process."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.latency import Measurement
from nas.zoo import COUNTS, PublishedModel

_NS = {
    "params": 0.05,
    "unaligned": 0.0,
    "macs_grouped": 0.03,
    "macs_depthwise": 0.06,
    "costly": 0.9,
    "moved": 0.8,
}


@dataclass
class SimulatedMachine:
    """Times models by a formula.

    Args:
        speed: How many times as fast as a usual core it is.
        spread: The standard deviation of the logarithm of what no count tells, the same each time for a model.
        noise: That of a measurement.
        broken: Programs that cannot be measured.
        factor: By how much the measurement of a program errs, given its name and how often it was measured by then.
        before: Called with the number of models measured so far before each batch.
    """

    speed: float = 1.0
    spread: float = 0.08
    noise: float = 0.003
    broken: Mapping[str, str] = field(default_factory=dict)
    factor: Callable[[str, int], float] = lambda program, times: 1.0
    before: Callable[[int], None] = lambda count: None
    calm: dict[str, float] = field(default_factory=lambda: {"smallest": 2.0, "largest": 20.0})
    asked: list[str] = field(default_factory=list)
    seed: int = 0

    def true_ms(self, model: PublishedModel) -> float:
        """Return the latency of a model without noise."""
        counts = np.array([model.counts[name] for name in COUNTS], dtype=float)
        ns = np.array([_NS.get(name, 2000.0 if name.startswith("ops_") else 0.02) for name in COUNTS])
        own = np.random.default_rng(zlib.crc32(model.program.encode())).standard_normal()
        return float(1e-6 * counts @ ns * np.exp(self.spread * own)) / self.speed

    def calm_ms(self) -> Mapping[str, float]:
        return self.calm

    def __call__(self, models: Sequence[PublishedModel]) -> dict[str, Measurement | str]:
        self.before(len(self.asked))
        rng = np.random.default_rng((self.seed, len(self.asked)))
        self.asked += [model.program for model in models]
        return {model.program: self._measured(model, float(rng.standard_normal())) for model in models}

    def _measured(self, model: PublishedModel, noise: float) -> Measurement | str:
        if model.program in self.broken:
            return self.broken[model.program]
        ms = self.true_ms(model) * float(np.exp(self.noise * noise))
        ms *= self.factor(model.program, self.asked.count(model.program))
        return Measurement(ms, 1.02 * ms, (0.99 * ms, 1.01 * ms), 30, 6, 0, raw_median_ms=ms, calm=self.calm)
