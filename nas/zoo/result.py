"""What a search of a zoo found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas._table import Result, Table
from nas.latency import format_count, format_ms
from nas.search import Budget
from nas.zoo.forecast import Entry, Forecast

_WITHIN, _BEYOND = 9, 2  # rows of the front within the budget, and beyond it
_FARTHEST = 2.0  # times the budget
_LABELS = {"top1": "top-1", "top5": "top-5"}


@dataclass(frozen=True)
class ZooResult(Result):
    """The best published model within a latency, measured here, with the front around it.

    Attributes:
        zoo: The zoo's name.
        quality: The accuracy that was maximised: "top1" or "top5".
        budget: What was asked for.
        answer: The best model whose measured latency keeps the budget; None where there is none.
        front: Models than which none is both quicker and better, the quickest first, some of them beyond the budget.
        finalists: The best ten that are measured or predicted to be within it.
        error: The predictor's errors on models that were held out: "median_pct" in percent, and others.
        samples: Models that are measured on this machine so far.
        skipped: Models that cannot be measured, by program, and why.
        workload: Batch size, threads and number format; `runtime` likewise names what ran them.
        reason: Why there is no answer.
        interrupted: Whether the search was broken off; the next one goes on from there.

    Example:
        result = nas.search_zoo("timm", latency="20ms", threads=1)
        print(result.table(), *result.remarks)
    """

    zoo: str
    quality: str
    budget: Budget
    answer: Entry | None
    front: Sequence[Entry]
    finalists: Sequence[Entry]
    error: Mapping[str, float]
    samples: int
    skipped: Mapping[str, str]
    runtime: str
    workload: Mapping[str, Any]
    reason: str = ""
    interrupted: bool = False

    @classmethod
    def of(
        cls, forecast: Forecast, zoo: str, quality: str, budget: Budget, answer: int | None, interrupted: bool
    ) -> ZooResult:
        """Return what a forecast tells for a budget; `answer` is the position of the model that keeps it."""
        limit, bound = budget.limits()[0], forecast.profile.bound
        front = [forecast.entry(index) for index in forecast.front(_FARTHEST * limit)]
        within = [entry for entry in front if entry.ms <= limit][-_WITHIN:]
        beyond = [entry for entry in front if entry.ms > limit][:_BEYOND]
        found = None if answer is None else forecast.entry(answer)
        if found is not None and found.model not in [entry.model for entry in front]:
            within = sorted([*within, found], key=lambda entry: entry.ms)
        return cls(
            zoo, quality, budget, found, [*within, *beyond],
            [forecast.entry(index) for index in forecast.best(limit, 10)], forecast.error,
            len(forecast.profile.timed), dict(forecast.profile.skipped),
            f"{bound['runtime']} {bound['runtime_version']}", bound["workload"],
            "" if found else _why_none(forecast, budget), interrupted,
        )  # fmt: skip

    @property
    def larger(self) -> Entry | None:
        """The next better model of the front, which is beyond the budget."""
        limit = self.budget.limits()[0]
        return next((entry for entry in self.front if entry.ms > limit), None)

    @property
    def next_commands(self) -> list[str]:
        """What to run next: the answer made smaller, and the next larger model made to fit."""
        if self.answer is None:
            return []
        limit = self.budget.limits()[0]
        threads = f"--threads {self.workload['threads']}"
        smaller = format_ms(0.75 * self.answer.ms).replace(" ", "")
        commands = [f"nas search --model timm:{self.answer.model.name} --latency {smaller} {threads}"]
        if self.larger is not None:
            own = format_ms(limit).replace(" ", "")
            commands.append(f"nas search --model timm:{self.larger.model.name} --latency {own} {threads}")
        return commands

    @property
    def remarks(self) -> list[str]:
        """What to say below the table: errors of predictions, what more costs, what was left out, what comes next."""
        if not self.front:
            return []
        found = []
        if self.interrupted:
            found.append(
                f"interrupted with {self.samples} models measured; the same command goes on from there"
            )
        if self.error:
            found.append(
                f"predictions err by {self.error['median_pct']:.1f}% (median; {self.error['within_10pct']:.0f}% of "
                f"them by less than 10%) on models held out in turn from {self.samples} that are measured here"
            )
        if self.answer is not None and self.answer.is_restless:
            found.append("the machine is restless: the answer's latency is the best that could be told")
        for entry in self.front:
            if self.answer is not None and self.answer.ms < entry.ms <= self.budget.limits()[0]:
                how = "predicted" if entry.measured_ms is None else "measured"
                found.append(
                    f"{entry.model.name} ({entry.quality:.1f}%, {format_ms(entry.ms)} {how}) is too near the budget to "
                    "promise"
                )
        if self.larger is not None:
            how = "predicted" if self.larger.measured_ms is None else "measured"
            found.append(
                f"the next better one, {self.larger.model.name}, has {self.larger.quality:.1f}% and takes "
                f"{format_ms(self.larger.ms)} ({how})"
            )
        if self.skipped:
            found.append(
                f"{len(self.skipped)} models could not be measured: {', '.join(sorted(self.skipped)[:4])}"
            )
        commands = zip(("\nnext", "or"), self.next_commands, strict=False)
        return [*found, *(f"{words:<8} {command}" for words, command in commands)]

    def tables(self) -> Sequence[Table]:
        return [self.table()] if self.front else []

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas search --zoo NAME --json` prints."""
        return {
            "zoo": self.zoo,
            "quality": self.quality,
            "budget": self.budget.to_dict(),
            "answer": self.answer and self.answer.to_dict(),
            "front": [entry.to_dict() for entry in self.front],
            "finalists": [entry.to_dict() for entry in self.finalists],
            "held_out_error": dict(self.error),
            "samples": self.samples,
            "skipped": dict(self.skipped),
            "runtime": self.runtime,
            "workload": dict(self.workload),
            "reason": self.reason,
            "interrupted": self.interrupted,
            "next": self.next_commands,
        }

    def table(self) -> Table:
        """Return the front as a table, the answer marked."""
        rows = [
            (
                entry.model.name,
                f"{entry.quality:.2f}%",
                "-" if entry.measured_ms is None else format_ms(entry.measured_ms),
                format_ms(entry.predicted_ms),
                f"{entry.model.image_size} px",
                format_count(entry.model.params),
                entry.model.license,
            )
            for entry in self.front
        ]
        answer = self.answer and self.answer.model
        marked = frozenset(n for n, entry in enumerate(self.front) if entry.model == answer)
        columns = ("model", _LABELS[self.quality], "measured", "predicted", "input", "parameters", "license")
        return Table(columns, rows, ("license",), marked)


def _why_none(forecast: Forecast, budget: Budget) -> str:
    known = np.where(np.isnan(forecast.measured_ms), np.inf, forecast.measured_ms)
    if not np.isfinite(known).any():
        reasons = [*forecast.profile.skipped.values()]
        first = f"; the first reason: {reasons[0]}" if reasons else ""
        return f"no published model could be measured here{first}"
    quickest = forecast.entry(int(known.argmin()))
    return (
        f"no published model that was measured keeps {budget}: the quickest, {quickest.model.name}, takes "
        f"{format_ms(quickest.ms)}; give a longer latency"
    )


__all__ = ["ZooResult"]
