"""What every model of a zoo takes here, measured or predicted, and what is best within a latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nas.search import Budget
from nas.zoo.facts import PublishedModel, Zoo, quality_of
from nas.zoo.predictor import LatencyPredictor, count_matrix, held_out, log_counts
from nas.zoo.profile import ZooProfile


@dataclass(frozen=True)
class Entry:
    """A published model with its latency.

    Attributes:
        model: The facts.
        quality: The accuracy that counts, in percent.
        predicted_ms: Predicted from other models alone.
        measured_ms: The calm median, where it was measured.
        is_restless: Whether the machine was too restless to trust that.
    """

    model: PublishedModel
    quality: float
    predicted_ms: float
    measured_ms: float | None = None
    is_restless: bool = False

    @property
    def ms(self) -> float:
        """The latency as far as it is known."""
        return self.predicted_ms if self.measured_ms is None else self.measured_ms

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        model = self.model
        return {
            "model": model.name,
            "image_size": model.image_size,
            **model.qualities,
            "latency_ms": {"measured": self.measured_ms, "predicted": self.predicted_ms},
            "restless": self.is_restless,
            "params": model.params,
            "macs": model.macs,
            "license": model.license,
            "weights": model.weights,
        }


class Forecast:
    """Everything that a profile tells of a zoo.

    Args:
        zoo: The published models.
        profile: What was measured of them here.
        quality: The accuracy that counts.
        budget: Limits that leave models out; its latency does not.

    Attributes:
        models: The best model of each program, in the zoo's order; the arrays below have this order.
        quality: Its accuracy.
    """

    def __init__(self, zoo: Zoo, profile: ZooProfile, quality: str, budget: Budget | None = None) -> None:
        self.profile, self.budget = profile, budget
        values = quality_of(zoo.models, quality)
        best: dict[str, tuple[float, PublishedModel]] = {}
        for model, value in zip(zoo.models, values.tolist(), strict=True):
            if model.program not in best or value > best[model.program][0]:
                best[model.program] = value, model
        kept = [(value, model) for value, model in best.values() if self._keeps(model)]
        self.models: Sequence[PublishedModel] = [model for _, model in kept]
        self.quality = np.array([value for value, _ in kept])
        self.counts = count_matrix([model.counts for model in self.models])
        self._timed = [name for name in profile.timed if name in zoo.programs]
        self._timed_counts = count_matrix([zoo.programs[name].counts for name in self._timed])
        self._timed_ms = np.array([profile.timed[name].ms for name in self._timed])

    def _keeps(self, model: PublishedModel) -> bool:
        limits = {} if self.budget is None else self.budget.to_dict()
        costs = {"macs": model.macs, "params": model.params, "size_bytes": 4 * model.params}
        return all(costs[name] <= limit for name, limit in limits.items() if name in costs)

    @cached_property
    def _predicted(self) -> tuple[np.ndarray, np.ndarray]:
        return LatencyPredictor(self._timed_counts, self._timed_ms).predict(self.counts)

    @property
    def predicted_ms(self) -> np.ndarray:
        """Predicted latencies; of measured models too."""
        return self._predicted[0]

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation of the predicted latencies' logarithms."""
        return self._predicted[1]

    @cached_property
    def measured_ms(self) -> np.ndarray:
        """Measured latencies, not a number where none was measured."""
        timed = self.profile.timed
        return np.array([timed[m.program].ms if m.program in timed else np.nan for m in self.models])

    @cached_property
    def ms(self) -> np.ndarray:
        """Latencies, measured where they are."""
        return np.where(np.isnan(self.measured_ms), self.predicted_ms, self.measured_ms)

    @cached_property
    def usable(self) -> np.ndarray:
        """Whether a model can be measured, as far as is known."""
        return np.array([model.program not in self.profile.skipped for model in self.models], dtype=bool)

    @cached_property
    def features(self) -> np.ndarray:
        """What models are compared by, of mean 0 and spread 1."""
        features = log_counts(self.counts)
        return (features - features.mean(0)) / (features.std(0) + 1e-6)

    @cached_property
    def _held_out(self) -> tuple[Mapping[str, float], dict[str, float]]:
        if len(self._timed) < 4:
            return {}, {}
        predicted, error = held_out(self._timed_counts, self._timed_ms)
        return dict(zip(self._timed, predicted.tolist(), strict=True)), error

    @property
    def error(self) -> dict[str, float]:
        """The predictor's errors on models that it had not seen ("median_pct" and others); empty of too few."""
        return self._held_out[1]

    def entry(self, index: int) -> Entry:
        """Return a model with its latencies; what is predicted of a measured one is told by the others."""
        model, timed = self.models[index], self.profile.timed.get(self.models[index].program)
        predicted = self._held_out[0].get(model.program, float(self.predicted_ms[index]))
        quality = float(self.quality[index])
        if timed is None:
            return Entry(model, quality, predicted)
        return Entry(model, quality, predicted, timed.ms, timed.is_restless)

    def front(self, longest_ms: float = np.inf) -> list[int]:
        """Return the models than which none is both quicker and better, up to a latency, quickest first."""
        found: list[int] = []
        for index in np.lexsort((-self.quality, self.ms)).tolist():
            if self.ms[index] > longest_ms:
                break
            if self.usable[index] and (not found or self.quality[index] > self.quality[found[-1]]):
                found.append(index)
        return found

    def best(self, limit_ms: float, count: int) -> list[int]:
        """Return the best models that are measured or predicted to be within a latency, best first."""
        inside = np.flatnonzero(self.usable & (self.ms <= limit_ms))
        return inside[np.lexsort((self.ms[inside], -self.quality[inside]))][:count].tolist()


__all__ = ["Entry", "Forecast"]
