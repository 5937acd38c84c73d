"""One search in progress: feasibility first, then trials, then measured finalists, then the run folder."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from nas.progress import Listener, as_progress
from nas.search.engine.engine import Engine
from nas.search.engine.problem import Problem
from nas.search.results.outcome import Choice, Outcome, infeasible_sentence
from nas.search.results.report import Report
from nas.search.testbed.interface import Testbed
from nas.search.trials.budget import COSTS
from nas.search.trials.config import SearchConfig
from nas.search.trials.finalists import MARGIN, SHARED_MARGIN, Check, Finalist, Finals
from nas.search.trials.folder import FAILED, INTERRUPTED, RUNNING, RunFolder
from nas.search.trials.loop import Trials, best_feasible, run_trials
from nas.search.trials.study import Evaluations, Record
from nas.space import plain_codes

PREDICTED_TRIALS, MEASURED_TRIALS = 500, 64
_SHOWN_EVERY_S = 1.0
_STALE = 0.10  # a profile's extremes this near to the budget are measured again before the budget is refused


class Search:
    """One search in progress."""

    def __init__(self, config: SearchConfig, testbed: Testbed, progress: Listener | None) -> None:
        self._config = config
        self._testbed = testbed
        self._progress = as_progress(progress)
        self._budget = config.budget
        self._space = testbed.space
        self._limits = config.budget.limits()
        self._is_measured = testbed.scorer.source == "measured"
        self._is_costly = bool(testbed.pass_dimensions)  # where writing a candidate's programs takes seconds
        self._pace = 1.0  # measured over predicted latency, as far as this run knows
        default = MEASURED_TRIALS if self._is_measured else PREDICTED_TRIALS
        self._trials = Trials(config.trials or default, config.sampler, config.seed, self._is_measured)

    def refuse(self) -> Outcome | None:
        """Return an outcome without an answer when the smallest subnet is over the budget, else None."""
        codes = self._space.codes([self._space.smallest(), self._space.largest()])
        counts = self._testbed.counts(codes)
        self._ends_ms = self._testbed.extremes_ms()
        limit = self._budget.latency_ms
        if limit is not None and limit < self._ends_ms[0] <= limit * (1 + _STALE):
            again = self._testbed.measure(codes[:1])[0].of(self._testbed.statistic)
            self._ends_ms = min(self._ends_ms[0], again), self._ends_ms[1]
        smallest = dict(zip(COSTS, [self._ends_ms[0], *counts[0].tolist()], strict=True))
        largest = dict(zip(COSTS, [self._ends_ms[1], *counts[1].tolist()], strict=True))
        self._report = Report(self._testbed, self._budget, self._ends_ms, not self._budget.broken_by(largest))
        broken = {name: smallest[name] for name in self._budget.broken_by(smallest)}
        if not broken:
            return None
        reason = infeasible_sentence(self._budget, broken, self._ends_ms[0])
        return self._report.outcome(None, self._offers(), None, reason=reason, infeasible=True)

    def _offers(self) -> tuple[Choice, ...]:
        """Return what other budgets would bring: the smallest subnet, and predicted rungs where they cost nothing."""
        if self._is_measured or not self._testbed.is_ready:
            return ()
        codes = self._space.codes([self._space.smallest()])
        engine = Engine(
            Problem(self._space, COSTS, self._costs, np.full(4, np.inf), self._testbed.scorer.score)
        )
        found = Evaluations.empty(self._space)
        codes = np.concatenate([codes, engine.ask(200, codes, np.zeros(1))])
        found.extend(codes, *self._evaluate(codes))
        column = COSTS.index(self._budget.primary)
        offers: dict[int, Choice] = {}
        for rung in self._report.rungs():
            best = _best(found, found.costs[:, [column]] <= rung)
            if best is not None and best not in offers:
                latency, score = float(found.costs[best, 0]), float(found.score[best])
                offers[best] = self._report.choice(
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
        self._testbed.prepare()
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
                self._report.write_table(folder, found, {}, None)
                shown = time.monotonic()

        if self._is_measured and limit is not None and "pace" not in folder.info:
            run_trials(
                self._trials.first_part(), self._problem(), record, found, self._evaluate, self._advance
            )
            if len(found) < self._trials.count:
                allowed = np.all(found.costs[:, 1:] <= self._limits[1:], axis=1)
                finals = Finals(found, allowed, self._testbed.measure, statistic=self._testbed.statistic)
                self._pace = finals.pace(limit)
                folder.set_state(RUNNING, pace=self._pace)
        run_trials(self._trials, self._problem(), record, found, self._evaluate, advance)

    def _open_record(self, folder: RunFolder) -> Record:
        name, quality = folder.info["study"], self._testbed.scorer.quality
        return Record(folder.path, name, self._space, self._budget, quality=quality, url=self._config.storage)

    def _problem(self) -> Problem:
        measured = self._is_measured
        score = None if measured else self._testbed.scorer.score
        smallest_ms = float(self._costs(self._space.codes([self._space.smallest()]))[0, 0])
        limits = self._limits.copy()
        limits[0] = max(limits[0] / self._pace, min(smallest_ms, limits[0]))
        return Problem(
            self._space,
            COSTS,
            self._costs,
            limits,
            score,
            hint=self._testbed.hint if measured else None,
            plain=plain_codes(self._space, self._testbed.pass_dimensions) if measured else None,
            known=self._testbed.scorer.known,
            link=self._testbed.scorer.quality.to_additive,
        )

    def _costs(self, codes: np.ndarray) -> np.ndarray:
        return np.column_stack([self._testbed.latency_ms(codes), self._testbed.counts(codes)])

    def _evaluate(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._testbed.scorer.score(codes), self._costs(codes)

    def _advance(self, done: int, total: int, best: float) -> None:
        quality = self._testbed.scorer.quality
        note = "" if np.isnan(best) else f"best {quality.label} {quality.text(quality.sign * best)}"
        self._progress("searching", done, total, note)

    # --- finalists ----------------------------------------------------------------------------------------------------

    def _conclude(self, folder: RunFolder, found: Evaluations, interrupted: bool) -> Outcome:
        found = self._with_smallest(found)
        allowed = np.all(found.costs[:, 1:] <= self._limits[1:], axis=1)
        check = self._checked()
        doubt = 0.0 if check is None else self._testbed.scorer.doubt
        finals = Finals(
            found, allowed, self._testbed.measure, self._pace, check=check, doubt=doubt,
            statistic=self._testbed.statistic, is_doubted=bool(self._testbed.doubt),
            is_costly=self._is_costly, margin=MARGIN if self._testbed.threads == 1 else SHARED_MARGIN,
        )  # fmt: skip
        winner: Finalist | None = None
        try:
            rungs = self._report.rungs(2 if self._is_costly else 4)
            winner = self._decide(finals, found, rungs)
        except KeyboardInterrupt:
            interrupted = True
            finals.stop_checking()
            winner = finals.best_confirmed(self._budget.latency_ms)
            rungs = self._report.rungs(2 if self._is_costly else 4)
        ladder = self._report.ladder(finals, found, rungs, winner)
        answer = None if winner is None else self._report.choice(winner, found)
        outcome = self._report.outcome(
            answer, ladder, folder.path, reason=self._report.reason(answer, interrupted), interrupted=interrupted,
            trials=int((found.number >= 0).sum()), warnings=self._report.warnings(answer, finals),
        )  # fmt: skip
        self._report.write(folder, found, finals, winner, outcome)
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
        check = self._testbed.scorer.check
        if check is None:
            return None
        count = 0

        def score(codes: np.ndarray) -> np.ndarray:
            nonlocal count
            count += 1
            self._progress("measuring the quality of finalists", count, 0, "")
            return check.score(codes)

        return score


def _best(found: Evaluations, within: np.ndarray) -> int | None:
    rows = np.flatnonzero(within.all(axis=1))
    return int(rows[found.score[rows].argmax()]) if len(rows) else None
