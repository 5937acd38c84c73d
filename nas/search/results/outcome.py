"""What a search answers: one subnet, a ladder of others, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.models import Quality
from nas.search.trials.budget import Budget, format_cost
from nas.space import SearchSpace, Subnet


@dataclass(frozen=True)
class Choice:
    """One subnet with its figures; `trial` is its number in the study, `within` the limit it was chosen for.

    `predicted` and `measured` are its quality, one of which may be unknown. Latencies in ms are at the machine's calm
    pace: `measured_ms` by the statistic that the budget is about, `median_ms` and `p90_ms` beside it. `raw_ms` is what
    the clock said, `pace` raw over calm. `is_restless`: no measurement found the machine calm enough to be trusted.
    """

    subnet: Subnet
    predicted: float | None
    measured: float | None
    predicted_ms: float
    measured_ms: float | None
    p90_ms: float | None
    macs: int
    params: int
    size_bytes: int
    trial: int
    within: Mapping[str, float] = field(default_factory=dict)
    pace: float | None = None
    is_restless: bool = False
    median_ms: float | None = None

    @property
    def raw_ms(self) -> float | None:
        """The latency as the clock had it, None where it was not measured."""
        if self.measured_ms is None or self.pace is None:
            return None
        return self.measured_ms * self.pace

    @property
    def quality(self) -> float:
        """The quality as it is known best."""
        value = self.predicted if self.measured is None else self.measured
        assert value is not None
        return value

    @property
    def source(self) -> str:
        """Where `quality` comes from: "measured" or "predicted"."""
        return "predicted" if self.measured is None else "measured"

    def to_dict(self, quality: Quality) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            **({"budget": dict(self.within)} if self.within else {}),
            "subnet": self.subnet.to_dict(),
            "quality": {
                "name": quality.name,
                "value": _rounded(self.quality),
                "unit": quality.unit,
                "source": self.source,
                "predicted": _rounded(self.predicted),
                "measured": _rounded(self.measured),
            },
            "latency_ms": {
                "predicted": self.predicted_ms,
                "measured": self.measured_ms,
                "median": self.median_ms,
                "p90": self.p90_ms,
                "raw": self.raw_ms,
            },
            "pace": self.pace,
            "restless": self.is_restless,
            "macs": self.macs,
            "params": self.params,
            "size_bytes": self.size_bytes,
            "trial": self.trial,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], space: SearchSpace) -> Choice:
        """Read the JSON object."""
        latency = value["latency_ms"]
        return cls(
            subnet=space.from_dict(value["subnet"]),
            predicted=value["quality"]["predicted"],
            measured=value["quality"]["measured"],
            predicted_ms=latency["predicted"],
            measured_ms=latency["measured"],
            p90_ms=latency["p90"],
            macs=value["macs"],
            params=value["params"],
            size_bytes=value["size_bytes"],
            trial=value["trial"],
            within=value.get("budget", {}),
            pace=value.get("pace"),
            is_restless=value.get("restless", False),
            median_ms=latency.get("median", latency["measured"]),
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


@dataclass(frozen=True)
class Outcome:
    """The result of a search. `answer` is None when no subnet keeps the budget, or none was measured in time.

    `reason` says in a sentence what is special: why there is no answer, or that everything fits. `statistic` is what
    the latency budget is about; `warnings` are sentences about how far the figures can be trusted.
    """

    budget: Budget
    quality: Quality
    answer: Choice | None
    ladder: tuple[Choice, ...]
    smallest_ms: float
    largest_ms: float
    run_dir: Path | None
    trials: int = 0
    everything_fits: bool = False
    infeasible: bool = False
    interrupted: bool = False
    reason: str = ""
    statistic: str = "median"
    warnings: tuple[str, ...] = ()

    @property
    def known_qualities(self) -> tuple[str, ...]:
        """Which of "predicted" and "measured" is known of the quality of some choice."""
        choices = [*self.ladder, *([] if self.answer is None else [self.answer])]
        kinds = {"predicted": [c.predicted for c in choices], "measured": [c.measured for c in choices]}
        return tuple(kind for kind, values in kinds.items() if any(value is not None for value in values))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas search --json` prints."""
        return {
            "budget": self.budget.to_dict(),
            "answer": None if self.answer is None else self.answer.to_dict(self.quality),
            "run_dir": None if self.run_dir is None else str(self.run_dir),
            "ladder": [choice.to_dict(self.quality) for choice in self.ladder],
            "smallest_latency_ms": self.smallest_ms,
            "largest_latency_ms": self.largest_ms,
            "everything_fits": self.everything_fits,
            "interrupted": self.interrupted,
            "trials": self.trials,
            "reason": self.reason,
            "statistic": self.statistic,
            "warnings": [*self.warnings],
        }

    @classmethod
    def from_dict(
        cls, value: Mapping[str, Any], space: SearchSpace, quality: Quality, run_dir: Path
    ) -> Outcome:
        """Read the result of a finished run that maximised `quality`."""
        answer = value["answer"]
        return cls(
            budget=Budget.from_dict(value["budget"]),
            quality=quality,
            answer=None if answer is None else Choice.from_dict(answer, space),
            ladder=tuple(Choice.from_dict(rung, space) for rung in value["ladder"]),
            smallest_ms=value["smallest_latency_ms"],
            largest_ms=value["largest_latency_ms"],
            run_dir=run_dir,
            trials=value["trials"],
            everything_fits=value["everything_fits"],
            interrupted=value["interrupted"],
            reason=value["reason"],
            statistic=value.get("statistic", "median"),
            warnings=tuple(value.get("warnings", ())),
        )


def fits_sentence(budget: Budget, ends_ms: tuple[float, float]) -> str:
    """Say that the largest subnet keeps the budget, and which budget would ask for a choice."""
    choice = f"{(ends_ms[0] * ends_ms[1]) ** 0.5:.2g}ms"
    return (
        f"every subnet keeps {budget}: the largest takes {format_cost('latency_ms', ends_ms[1])} here; "
        f"a budget that asks for a choice is --latency {choice}"
    )


def infeasible_sentence(budget: Budget, broken: Mapping[str, float], smallest_ms: float) -> str:
    """Say that even the smallest subnet breaks the budget, with what it costs."""
    own = " and ".join(format_cost(name, value) + _NOUNS[name] for name, value in broken.items())
    also = "" if "latency_ms" in broken else f" (it takes {format_cost('latency_ms', smallest_ms)} here)"
    return f"no subnet keeps {budget}: the smallest needs {own}{also}; raise the budget or choose a smaller model"


def pace_sentence(pace: float) -> str:
    """Say how far the machine is from its calm pace."""
    return (
        f"latencies are those of the calm machine; it is {pace:.2f} times slower at the moment"
        if pace >= 1.05
        else "latencies are those of the calm machine, which it is at the moment"
    )


def busy_sentence(busy: float, threads: int) -> str:
    """Say that other programs take part of the cores that the threads need."""
    return (
        f"other programs use {busy:.0%} of this machine's cores, so that latencies with {threads} threads vary; "
        "for figures that hold, measure with --threads 1, or wait"
    )


def restless_sentence(busy: float, threads: int) -> str:
    """Say that the machine is too restless to measure, and what to do."""
    share = f"other programs use {busy:.0%} of this machine's cores, and " if busy >= 0.05 else ""
    advice = "measure with --threads 1, or wait until it is calm" if threads > 1 else "wait until it is calm"
    of_threads = f" with {threads} threads" if threads > 1 else ""
    return f"{share}latencies{of_threads} are uncertain: the answer is marked restless; {advice}"


_NOUNS = {
    "latency_ms": " here, measured",
    "macs": " MACs",
    "params": " parameters",
    "size_bytes": " of weights",
}
