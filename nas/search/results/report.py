"""What a search says and leaves: choices with their figures, a ladder of other budgets, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_json
from nas.search.results.figure import draw
from nas.search.results.outcome import Choice, Outcome, busy_sentence, fits_sentence, restless_sentence
from nas.search.results.table import write_table
from nas.search.testbed.interface import Testbed
from nas.search.trials.budget import COSTS, Budget
from nas.search.trials.finalists import Finalist, Finals
from nas.search.trials.folder import FINISHED, INTERRUPTED, RunFolder
from nas.search.trials.study import Evaluations

_BUSY = 0.2  # the share of all cores that others may use before two threads are called uncertain


class Report:
    """The words and files of one search.

    `ends_ms` are the latencies of the smallest and of the largest subnet, `everything_fits` whether the largest keeps
    the budget.
    """

    def __init__(
        self, testbed: Testbed, budget: Budget, ends_ms: tuple[float, float], everything_fits: bool
    ) -> None:
        self._testbed = testbed
        self._budget = budget
        self._space = testbed.space
        self._limits = budget.limits()
        self._is_measured = testbed.scorer.source == "measured"
        self._ends_ms = ends_ms
        self._everything_fits = everything_fits

    def rungs(self, count: int = 4) -> list[float]:
        """Return a few other, round budgets between the smallest and the largest subnet's."""
        column = COSTS.index(self._budget.primary)
        codes = self._space.codes([self._space.smallest(), self._space.largest()])
        ends = np.column_stack([np.array(self._ends_ms), self._testbed.counts(codes)])[:, column]
        return round_rungs(float(ends[0]), float(ends[1]), float(self._limits[column]), count)

    def ladder(
        self, finals: Finals, found: Evaluations, rungs: list[float], winner: Finalist | None
    ) -> tuple[Choice, ...]:
        """Return the best measured subnet within each rung, each subnet once, and not the answer."""
        primary = self._budget.primary
        column = COSTS.index(primary)
        ladder: dict[int, Choice] = {}
        for rung in rungs:
            if primary == "latency_ms":
                best = finals.best_within(rung)
            else:
                measured = [f for f in finals.finalists.values() if found.costs[f.index, column] <= rung]
                best = finals.best_of(measured)
            if best is not None and best is not winner and best.index not in ladder:
                ladder[best.index] = self.choice(best, found, {primary: rung})
        return tuple(ladder.values())

    def choice(
        self, finalist: Finalist, found: Evaluations, within: Mapping[str, float] | None = None
    ) -> Choice:
        cost, sign = found.costs[finalist.index], self._testbed.scorer.quality.sign
        measured = finalist.score if self._is_measured else finalist.checked
        return Choice(
            subnet=self._space.from_codes(found.codes[finalist.index]),
            predicted=None if self._is_measured else sign * finalist.score,
            measured=None if measured is None else sign * measured,
            predicted_ms=finalist.predicted_ms,
            measured_ms=finalist.measured_ms if finalist.runs else None,
            p90_ms=finalist.p90_ms if finalist.runs else None,
            macs=int(cost[1]),
            params=int(cost[2]),
            size_bytes=int(cost[3]),
            trial=int(found.number[finalist.index]),
            within=within or {},
            pace=finalist.pace if finalist.runs else None,
            is_restless=bool(finalist.runs) and finalist.is_restless,
            median_ms=finalist.median_ms if finalist.runs else None,
        )

    def warnings(self, answer: Choice | None, finals: Finals) -> tuple[str, ...]:
        """Return sentences about how far the figures can be trusted."""
        found = [self._testbed.doubt] if self._testbed.doubt else []
        runs = [run for finalist in finals.finalists.values() for run in finalist.runs]
        if runs and (answer is None or answer.is_restless) and any(run.is_restless for run in runs):
            busy = float(np.median([run.busy for run in runs]))
            found.append(restless_sentence(busy, self._testbed.threads))
        elif (
            runs
            and self._testbed.threads > 1
            and (busy := float(np.median([run.busy for run in runs]))) >= _BUSY
        ):
            found.append(busy_sentence(busy, self._testbed.threads))
        return tuple(found)

    def reason(self, answer: Choice | None, interrupted: bool) -> str:
        if answer is None:
            if interrupted:
                return "interrupted before a subnet was measured within the budget; continue with --resume"
            return f"no subnet was measured within {self._budget}; raise the budget a little"
        return fits_sentence(self._budget, self._ends_ms) if self._everything_fits else ""

    def outcome(
        self, answer: Choice | None, ladder: tuple[Choice, ...], path: Path | None, **more: Any
    ) -> Outcome:
        return Outcome(
            self._budget,
            self._testbed.scorer.quality,
            answer,
            ladder,
            *self._ends_ms,
            path,
            everything_fits=self._everything_fits,
            statistic=self._testbed.statistic,
            **more,
        )

    def write_table(
        self, folder: RunFolder, found: Evaluations, finalists: Mapping[int, Finalist], answer: int | None
    ) -> None:
        """Write pareto.csv: at the end, and every second while trials run, for those who watch."""
        write_table(
            folder.path / "pareto.csv", self._space, self._testbed.scorer.quality, found, finalists, answer,
            self._limits, self._is_measured,
        )  # fmt: skip

    def write(
        self, folder: RunFolder, found: Evaluations, finals: Finals, winner: Finalist | None, outcome: Outcome
    ) -> None:
        self.write_table(folder, found, finals.finalists, None if winner is None else winner.index)
        title = Path(str(folder.info.get("model", self._space.name))).name
        draw(found, outcome, f"{title}: {self._budget}", folder.path, self._testbed.scorer.source)
        if outcome.answer is not None:
            write_json(folder.path / "subnet.json", outcome.answer.subnet.to_dict())
            self._testbed.keep_program(outcome.answer.subnet, folder.path)
        measured = [
            {
                "trial": int(found.number[f.index]),
                "latencies_ms": [run.of(self._testbed.statistic) for run in f.runs],
                "paces": [run.pace for run in f.runs],
            }
            for f in finals.finalists.values()
        ]
        folder.set_state(
            INTERRUPTED if outcome.interrupted else FINISHED,
            **self._testbed.describe(),
            finalists=measured,
            result=outcome.to_dict(),
        )


def round_rungs(low: float, high: float, limit: float, count: int = 4) -> list[float]:
    """Return up to `count` numbers of two digits, spread evenly (in ratio) from `low` to `high`, none near `limit`."""
    spread = np.geomspace(low, high, count + 2)[1:-1] if high > low else np.array([low])
    rungs = sorted({float(f"{value:.2g}") for value in spread})
    return [rung for rung in rungs if rung >= low and not 0.93 <= rung / limit <= 1.07]
