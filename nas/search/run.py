"""A whole search: feasibility first, then trials, then measured finalists, then the run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas._errors import UsageError
from nas._files import write_json
from nas.search._engine import Engine
from nas.search._finalists import Check, Finalist, Finals
from nas.search._folder import FAILED, FINISHED, INTERRUPTED, RUNNING, RunFolder, free_name
from nas.search._outcome import (
    Choice,
    Outcome,
    busy_sentence,
    fits_sentence,
    infeasible_sentence,
    restless_sentence,
)
from nas.search._problem import Problem
from nas.search._storage import drop_stale_lock
from nas.search._table import write_table
from nas.search._testbed import Progress, Testbed, silent
from nas.search._trials import Trials, best_feasible, run_trials
from nas.search.budget import COSTS, Budget
from nas.search.study import Evaluations, Record
from nas.space import plain_codes

PREDICTED_TRIALS, MEASURED_TRIALS = 500, 64
_SHOWN_EVERY_S = 1.0
_BUSY = 0.2  # the share of all cores that others may use before two threads are called uncertain
_STALE = 0.10  # a profile's extremes this near to the budget are measured again before the budget is refused


@dataclass(frozen=True)
class Request:
    """What is searched for. `subject` describes the testbed in run.json: the fields of `Subject`, for a model."""

    budget: Budget
    subject: Mapping[str, Any]
    trials: int | None = None
    sampler: str = "anyfit"
    seed: int = 0
    storage: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, part of run.json."""
        return {
            "budget": self.budget.to_dict(),
            **self.subject,
            "trials": self.trials,
            "sampler": self.sampler,
            "seed": self.seed,
            "storage": self.storage,
        }

    @classmethod
    def from_run(cls, info: Mapping[str, Any], trials: int | None = None) -> Request:
        """Read the request of a run; `trials`, when given, replaces its number of trials."""
        subject = {name: info[name] for name in info["subject"]}
        return cls(
            budget=Budget.from_dict(info["budget"]),
            subject=subject,
            trials=info["trials"] if trials is None else trials,
            sampler=info["sampler"],
            seed=info["seed"],
            storage=info["storage"],
        )


def new_run(
    request: Request, bed: Testbed, run_dir: Path | None, stem: str, progress: Progress = silent
) -> Outcome:
    """Search from the beginning in a new folder (default: runs/<stem>-<n>).

    An infeasible budget is answered before the folder is made. Raises `UsageError` when `run_dir` exists.
    """
    if run_dir is not None and run_dir.exists():
        raise UsageError(f"{run_dir} already exists; name a new folder, or continue it with --resume")
    run = _Run(request, bed, progress)
    if (refusal := run.refuse()) is not None:
        return refusal
    path = free_name(Path("runs"), stem) if run_dir is None else run_dir
    quality = bed.scorer.quality
    folder = RunFolder.create(
        path,
        {
            **request.to_dict(),
            "subject": list(request.subject),
            "study": path.name,
            "space": bed.space.to_dict(),
            "maximised": {
                name: getattr(quality, name) for name in ("name", "label", "unit", "higher_is_better")
            },
        },
    )
    return run.go(folder)


def resume_run(
    folder: RunFolder, bed: Testbed, trials: int | None = None, progress: Progress = silent
) -> Outcome:
    """Continue a run that was killed or interrupted, or extend a finished one to more `trials`."""
    folder.require_idle()
    request = Request.from_run(folder.info, trials)
    run = _Run(request, bed, progress)
    if (refusal := run.refuse()) is not None:
        return replace(refusal, run_dir=folder.path)
    drop_stale_lock(folder.path)
    folder.set_state(RUNNING, trials=request.trials)
    return run.go(folder)


def stored_outcome(folder: RunFolder, bed: Testbed, trials: int | None) -> Outcome | None:
    """Return the result of a finished run that needs no more trials, else None."""
    wanted = trials or 0
    if folder.info.get("state") != FINISHED or wanted > folder.info["result"]["trials"]:
        return None
    return Outcome.from_dict(folder.info["result"], bed.space, bed.scorer.quality, folder.path)


class _Run:
    """One search in progress."""

    def __init__(self, request: Request, bed: Testbed, progress: Progress) -> None:
        self._request = request
        self._bed = bed
        self._progress = progress
        self._budget = request.budget
        self._space = bed.space
        self._limits = request.budget.limits()
        self._is_measured = bed.scorer.source == "measured"
        self._pace = 1.0  # measured over predicted latency, as far as this run knows
        default = MEASURED_TRIALS if self._is_measured else PREDICTED_TRIALS
        self._trials = Trials(request.trials or default, request.sampler, request.seed, self._is_measured)

    # --- feasibility --------------------------------------------------------------------------------------------------

    def refuse(self) -> Outcome | None:
        """Return an outcome without an answer when the smallest subnet is over the budget, else None."""
        codes = self._space.codes([self._space.smallest(), self._space.largest()])
        counts = self._bed.counts(codes)
        self._ends_ms = self._bed.extremes_ms()
        limit = self._budget.latency_ms
        if limit is not None and limit < self._ends_ms[0] <= limit * (1 + _STALE):
            again = self._bed.measure(codes[:1])[0].of(self._bed.statistic)
            self._ends_ms = min(self._ends_ms[0], again), self._ends_ms[1]
        smallest = dict(zip(COSTS, [self._ends_ms[0], *counts[0].tolist()], strict=True))
        largest = dict(zip(COSTS, [self._ends_ms[1], *counts[1].tolist()], strict=True))
        self._everything_fits = not self._budget.broken_by(largest)
        broken = {name: smallest[name] for name in self._budget.broken_by(smallest)}
        if not broken:
            return None
        reason = infeasible_sentence(self._budget, broken, self._ends_ms[0])
        return self._outcome(None, self._offers(), None, reason=reason, infeasible=True)

    def _offers(self) -> tuple[Choice, ...]:
        """Return what other budgets would bring: the smallest subnet, and predicted rungs where they cost nothing."""
        if self._is_measured or not self._bed.is_ready:
            return ()
        codes = self._space.codes([self._space.smallest()])
        engine = Engine(Problem(self._space, COSTS, self._costs, np.full(4, np.inf), self._bed.scorer.score))
        found = Evaluations.empty(self._space)
        codes = np.concatenate([codes, engine.ask(200, codes, np.zeros(1))])
        found.extend(codes, *self._evaluate(codes))
        column = COSTS.index(self._budget.primary)
        offers: dict[int, Choice] = {}
        for rung in self._rungs():
            best = _best(found, found.costs[:, [column]] <= rung)
            if best is not None and best not in offers:
                latency, score = float(found.costs[best, 0]), float(found.score[best])
                offers[best] = self._choice(
                    Finalist(best, latency, score), found, {self._budget.primary: rung}
                )
        return tuple(offers.values())

    # --- the way through ----------------------------------------------------------------------------------------------

    def go(self, folder: RunFolder) -> Outcome:
        """Run trials and finalists; whatever happens leaves a folder that can be resumed."""
        try:
            return self._search(folder)
        except KeyboardInterrupt:
            folder.set_state(INTERRUPTED)
            raise
        except Exception:
            folder.set_state(FAILED)
            raise

    def _search(self, folder: RunFolder) -> Outcome:
        self._bed.prepare()
        record = self._open_record(folder)
        found = record.load()
        interrupted = False
        try:
            self._propose(folder, record, found)
        except KeyboardInterrupt:  # the best so far is still to be measured; a second one leaves at once
            if not np.isfinite(best_feasible(self._problem(), found)):
                raise
            interrupted = True
            self._progress(
                "interrupted: measuring the best so far (interrupt again to leave at once)", 0, 0, ""
            )
        return self._conclude(folder, found, interrupted)

    def _propose(self, folder: RunFolder, record: Record, found: Evaluations) -> None:
        """Run the trials.

        Where each costs seconds and latency is limited, the last of them are looked for where the machine's pace puts
        the limit now: a profile may be hours old, and there are too few trials to have some beside the limit by chance.
        """
        self._pace = float(folder.info.get("pace", 1.0))
        limit, shown = self._budget.latency_ms, 0.0

        def advance(done: int, total: int, best: float) -> None:
            nonlocal shown
            self._advance(done, total, best)
            if time.monotonic() - shown > _SHOWN_EVERY_S and done < total:
                self._write_table(folder, found, {}, None)
                shown = time.monotonic()

        if self._is_measured and limit is not None and "pace" not in folder.info:
            run_trials(
                self._trials.first_part(), self._problem(), record, found, self._evaluate, self._advance
            )
            if len(found) < self._trials.count:
                allowed = np.all(found.costs[:, 1:] <= self._limits[1:], axis=1)
                finals = Finals(found, allowed, self._bed.measure, statistic=self._bed.statistic)
                self._pace = finals.pace(limit)
                folder.set_state(RUNNING, pace=self._pace)
        run_trials(self._trials, self._problem(), record, found, self._evaluate, advance)

    def _open_record(self, folder: RunFolder) -> Record:
        name, quality = folder.info["study"], self._bed.scorer.quality
        return Record(
            folder.path, name, self._space, self._budget, quality=quality, url=self._request.storage
        )

    def _problem(self) -> Problem:
        measured = self._is_measured
        score = None if measured else self._bed.scorer.score
        smallest_ms = float(self._costs(self._space.codes([self._space.smallest()]))[0, 0])
        limits = self._limits.copy()
        limits[0] = max(limits[0] / self._pace, min(smallest_ms, limits[0]))
        return Problem(
            self._space,
            COSTS,
            self._costs,
            limits,
            score,
            hint=self._bed.hint if measured else None,
            plain=plain_codes(self._space, self._bed.pass_dimensions) if measured else None,
            known=self._bed.scorer.known,
            link=self._bed.scorer.quality.to_additive,
        )

    def _costs(self, codes: np.ndarray) -> np.ndarray:
        return np.column_stack([self._bed.latency_ms(codes), self._bed.counts(codes)])

    def _evaluate(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._bed.scorer.score(codes), self._costs(codes)

    def _advance(self, done: int, total: int, best: float) -> None:
        quality = self._bed.scorer.quality
        note = "" if np.isnan(best) else f"best {quality.label} {quality.text(quality.sign * best)}"
        self._progress("searching", done, total, note)

    # --- finalists ----------------------------------------------------------------------------------------------------

    def _conclude(self, folder: RunFolder, found: Evaluations, interrupted: bool) -> Outcome:
        found = self._with_smallest(found)
        allowed = np.all(found.costs[:, 1:] <= self._limits[1:], axis=1)
        check = self._checked()
        doubt = 0.0 if check is None else self._bed.scorer.doubt
        finals = Finals(
            found, allowed, self._bed.measure, self._pace, check=check, doubt=doubt,
            statistic=self._bed.statistic, is_doubted=bool(self._bed.doubt),
            is_costly=bool(self._bed.pass_dimensions),
        )  # fmt: skip
        winner: Finalist | None = None
        try:
            rungs = self._rungs()
            winner = self._decide(finals, found, rungs)
        except KeyboardInterrupt:
            interrupted = True
            finals.stop_checking()
            winner = finals.best_confirmed(self._budget.latency_ms)
            rungs = self._rungs()
        ladder = self._ladder(finals, found, rungs, winner)
        answer = None if winner is None else self._choice(winner, found)
        outcome = self._outcome(
            answer, ladder, folder.path, reason=self._reason(answer, interrupted), interrupted=interrupted,
            trials=int((found.number >= 0).sum()), warnings=self._warnings(answer, finals),
        )  # fmt: skip
        self._write(folder, found, finals, winner, outcome)
        return outcome

    def _with_smallest(self, found: Evaluations) -> Evaluations:
        """Return a copy to which the smallest subnet is added where no trial has it: the last resort."""
        copy = replace(found)
        codes = self._space.codes([self._space.smallest()])
        if not (found.codes == codes).all(axis=1).any():
            copy.extend(codes, *self._evaluate(codes))
            copy.number[-1] = -1
        return copy

    def _decide(self, finals: Finals, found: Evaluations, rungs: list[float]) -> Finalist | None:
        column = COSTS.index(self._budget.primary)
        if self._budget.latency_ms is not None:
            return finals.decide(self._budget.latency_ms, rungs)
        tried = np.tile(self._limits, (1 + len(rungs), 1))
        tried[1:, column] = rungs
        return finals.best_allowed([np.all(found.costs <= limits, axis=1) for limits in tried])[0]

    def _checked(self) -> Check | None:
        """Return what measures the quality of finalists, where it is predicted and needs no data."""
        check = self._bed.scorer.check
        if check is None:
            return None
        count = 0

        def score(codes: np.ndarray) -> np.ndarray:
            nonlocal count
            count += 1
            self._progress("measuring the quality of finalists", count, 0, "")
            return check.score(codes)

        return score

    def _rungs(self) -> list[float]:
        """Return a few other, round budgets between the smallest and the largest subnet's."""
        column = COSTS.index(self._budget.primary)
        codes = self._space.codes([self._space.smallest(), self._space.largest()])
        ends = np.column_stack([np.array(self._ends_ms), self._bed.counts(codes)])[:, column]
        return round_rungs(float(ends[0]), float(ends[1]), float(self._limits[column]))

    def _ladder(
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
                ladder[best.index] = self._choice(best, found, {primary: rung})
        return tuple(ladder.values())

    def _choice(
        self, finalist: Finalist, found: Evaluations, within: Mapping[str, float] | None = None
    ) -> Choice:
        cost, sign = found.costs[finalist.index], self._bed.scorer.quality.sign
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

    def _warnings(self, answer: Choice | None, finals: Finals) -> tuple[str, ...]:
        """Return sentences about how far the figures can be trusted."""
        found = [self._bed.doubt] if self._bed.doubt else []
        runs = [run for finalist in finals.finalists.values() for run in finalist.runs]
        if runs and (answer is None or answer.is_restless) and any(run.is_restless for run in runs):
            busy = float(np.median([run.busy for run in runs]))
            found.append(restless_sentence(busy, self._bed.threads))
        elif (
            runs and self._bed.threads > 1 and (busy := float(np.median([run.busy for run in runs]))) >= _BUSY
        ):
            found.append(busy_sentence(busy, self._bed.threads))
        return tuple(found)

    def _reason(self, answer: Choice | None, interrupted: bool) -> str:
        if answer is None:
            if interrupted:
                return "interrupted before a subnet was measured within the budget; continue with --resume"
            return f"no subnet was measured within {self._budget}; raise the budget a little"
        return fits_sentence(self._budget, self._ends_ms) if self._everything_fits else ""

    def _outcome(
        self, answer: Choice | None, ladder: tuple[Choice, ...], path: Path | None, **more: Any
    ) -> Outcome:
        return Outcome(
            self._budget,
            self._bed.scorer.quality,
            answer,
            ladder,
            *self._ends_ms,
            path,
            everything_fits=self._everything_fits,
            statistic=self._bed.statistic,
            **more,
        )

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write_table(
        self, folder: RunFolder, found: Evaluations, finalists: Mapping[int, Finalist], answer: int | None
    ) -> None:
        """Write pareto.csv: at the end, and every second while trials run, for those who watch."""
        write_table(
            folder.path / "pareto.csv", self._space, self._bed.scorer.quality, found, finalists, answer,
            self._limits, self._is_measured,
        )  # fmt: skip

    def _write(
        self, folder: RunFolder, found: Evaluations, finals: Finals, winner: Finalist | None, outcome: Outcome
    ) -> None:
        from nas.search._picture import draw

        self._write_table(folder, found, finals.finalists, None if winner is None else winner.index)
        title = Path(str(folder.info.get("model", self._space.name))).name
        draw(found, outcome, f"{title}: {self._budget}", folder.path, self._bed.scorer.source)
        if outcome.answer is not None:
            write_json(folder.path / "subnet.json", outcome.answer.subnet.to_dict())
            self._bed.keep_program(outcome.answer.subnet, folder.path)
        measured = [
            {
                "trial": int(found.number[f.index]),
                "latencies_ms": [run.of(self._bed.statistic) for run in f.runs],
                "paces": [run.pace for run in f.runs],
            }
            for f in finals.finalists.values()
        ]
        folder.set_state(
            INTERRUPTED if outcome.interrupted else FINISHED,
            **self._bed.describe(),
            finalists=measured,
            result=outcome.to_dict(),
        )


def _best(found: Evaluations, within: np.ndarray) -> int | None:
    rows = np.flatnonzero(within.all(axis=1))
    return int(rows[found.score[rows].argmax()]) if len(rows) else None


def round_rungs(low: float, high: float, limit: float, count: int = 4) -> list[float]:
    """Return up to `count` numbers of two digits, spread evenly (in ratio) from `low` to `high`, none near `limit`."""
    spread = np.geomspace(low, high, count + 2)[1:-1] if high > low else np.array([low])
    rungs = sorted({float(f"{value:.2g}") for value in spread})
    return [rung for rung in rungs if rung >= low and not 0.93 <= rung / limit <= 1.07]


__all__ = ["Request", "RunFolder", "new_run", "resume_run", "round_rungs", "stored_outcome"]
