"""A machine whose pace changes, in place of the measuring process: what noise does, repeatably and in no time.

Two speeds that last for seconds to minutes, a slow drift, a neighbour that takes the core in bursts, spikes, and a small
offset of every program in every process. A slow phase slows small programs more than large ones, and no two quite alike,
as on real machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, pi, sin

import numpy as np

from nas.latency.measuring.measure import Measurement
from nas.latency.measuring.pace import CalmLatency, session_ms
from nas.latency.measuring.process import Burst
from nas.latency.measuring.turns import TurnPlan, collect

SMALLEST, LARGEST = "smallest", "largest"


class SimulatedMachine:
    """A machine with a clock of its own, in seconds.

    Args:
        seed: Of everything that is random.
        slow: How many times as long a small program takes in the slow phases; 1.0 for a machine without.
        phase_s: How long calm and slow phases last on average.
        drift: How far the pace swings slowly to both sides.
        neighbour: The share of the time in which another program wants the core.
        spikes: The share of runs that take a millisecond longer, as an interrupt makes them.
        tells_waiting: Whether the system says how long a program waited for a core, as Linux does.
        noise: The spread of single runs.
        offset: The spread of a program's latency from process to process.
        starts_calm: Whether the first phase is a calm one.
    """

    def __init__(
        self,
        seed: int,
        *,
        slow: float = 1.5,
        phase_s: tuple[float, float] = (30.0, 12.0),
        drift: float = 0.02,
        neighbour: float = 0.25,
        spikes: float = 0.005,
        tells_waiting: bool = True,
        noise: float = 0.004,
        offset: float = 0.003,
        starts_calm: bool = False,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._slow, self._phase_s, self._drift = slow, phase_s, drift
        self._neighbour, self._spikes, self._tells_waiting = neighbour, spikes, tells_waiting
        self._noise, self._offset = noise, offset
        self.now_s = 0.0
        self._is_slow = bool(self._rng.random() < phase_s[1] / sum(phase_s)) and slow > 1 and not starts_calm
        self._phase_ends_s = float(self._rng.exponential(phase_s[self._is_slow]))
        self._is_busy = False
        self._busy_ends_s = 0.0
        self.calm: dict[str, CalmLatency] = {}

    def run_ms(self, calm_ms: float, own: float, count: int) -> tuple[np.ndarray, float | None]:
        """Return what `count` runs take now, and how long of it was waited; `own` is how the program takes slow phases."""
        self._advance()
        pace = self._slow**own if self._is_slow else 1.0
        pace *= 1.0 + self._drift * sin(2 * pi * self.now_s / 600)
        ms = calm_ms * pace * (1.0 + self._noise * np.abs(self._rng.standard_normal(count)))
        ms = ms + np.where(self._rng.random(count) < self._spikes, self._rng.exponential(1.0, count), 0.0)
        waited = np.zeros(count)
        if self._is_busy:  # the scheduler gives the neighbour a slice of some milliseconds now and then
            waited = np.where(
                self._rng.random(count) < np.minimum(ms / 6.0, 1.0), self._rng.uniform(1.0, 4.0, count), 0.0
            )
        self.now_s += float((ms + waited).sum()) / 1e3
        return ms + waited, float(waited.sum()) if self._tells_waiting else None

    def _advance(self) -> None:
        while self.now_s > self._phase_ends_s:
            self._is_slow = not self._is_slow and self._slow > 1
            self._phase_ends_s += float(self._rng.exponential(self._phase_s[self._is_slow]))
        while self.now_s > self._busy_ends_s:
            self._is_busy = bool(self._rng.random() < self._neighbour)
            self._busy_ends_s += float(self._rng.uniform(0.2, 3.0))

    @property
    def is_slow(self) -> bool:
        """Whether a slow phase lasts at the moment."""
        return self._is_slow

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        self._advance()

    def measure(
        self, calm_ms: Sequence[float], references: Mapping[str, float], plan: TurnPlan
    ) -> list[Measurement]:
        """Measure programs of known calm latency in a new process, as `nas.latency.measuring.measure.measure` does."""
        self.wait(1.0 + 0.3 * len(calm_ms))  # a process starts, programs are written and opened
        process = _Process(self, dict(enumerate(calm_ms)), references)
        keys = [str(number) for number in range(len(calm_ms))]
        turns = collect(process, keys, plan, tuple(references), self.calm_ms(), clock=lambda: self.now_s)
        for name, bursts in turns.references.items():
            if (seen := session_ms(bursts)) is not None:
                known = self.calm.get(name)
                self.calm[name] = CalmLatency(seen, "") if known is None else known.merged(seen, "")
        return [Measurement.from_turns(turns.programs[key], self.calm_ms()) for key in keys]

    def calm_ms(self) -> dict[str, float]:
        """Return the calm latencies of reference programs that were seen so far."""
        return {name: known.ms for name, known in self.calm.items()}

    def process_offsets(self, count: int) -> np.ndarray:
        """Return the factors by which programs differ in a new process."""
        return np.exp(self._offset * self._rng.standard_normal(count))


def _sensitivity(calm_ms: float, offset: float) -> float:
    """Return how a program takes a slow phase: small ones harder, no two quite alike, but always the same."""
    # Measured: programs of 0.095, 0.25, 0.38 and 0.58 ms took 1.57, 1.45, 1.39 and 1.38 times as long.
    small = min(max(1.1 - 0.18 * log(calm_ms * offset / 0.34), 0.4), 1.4)
    return small * (1.0 + 0.04 * float(np.random.default_rng(round(1e6 * calm_ms)).standard_normal()))


class _Process:
    """The prober of one process."""

    def __init__(
        self, machine: SimulatedMachine, calm_ms: Mapping[int, float], references: Mapping[str, float]
    ) -> None:
        self._machine = machine
        names = [*map(str, calm_ms), *references]
        values = [*calm_ms.values(), *references.values()]
        offsets = machine.process_offsets(len(names)).tolist()
        self._programs = {
            name: (ms * offset, _sensitivity(ms, offset))
            for name, ms, offset in zip(names, values, offsets, strict=True)
        }

    def burst(self, key: str, warm: int, runs: int) -> Burst:
        ms, own = self._programs[key]
        if warm:
            self._machine.run_ms(ms, own, warm)
        timed, waited = self._machine.run_ms(ms, own, runs)
        return Burst(tuple(timed.tolist()), waited)
