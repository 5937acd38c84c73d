"""The loop of a search: propose, evaluate, record, until there are enough trials; with our samplers or Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nas.errors import UsageError
from nas.search.engine.engine import Engine
from nas.search.engine.once_for_all import OnceForAllEvolution
from nas.search.engine.problem import Problem, keys
from nas.search.trials.budget import COSTS
from nas.search.trials.signals import uninterrupted
from nas.search.trials.study import Evaluations, Record, constraints

SAMPLERS = ("anyfit", "tpe", "nsga2", "random", "evolution")
Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # codes -> scores (n,), costs (n, 4)
Advance = Callable[[int, int, float], None]  # trials done, of how many, best feasible score (NaN: none)


class Proposer(Protocol):
    """Proposes codes from evaluations, without a state of its own."""

    def ask(self, count: int, codes: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """Return up to `count` new codes."""
        ...


@dataclass(frozen=True)
class Trials:
    """How many trials, proposed by what, from which seed; `one_by_one` where an evaluation takes seconds."""

    count: int
    sampler: str = "anyfit"
    seed: int = 0
    one_by_one: bool = False

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UsageError(f"there is no sampler {self.sampler!r}; choose from {', '.join(SAMPLERS)}")
        if self.count < 1:
            raise UsageError(f"{self.count} trials are asked for; give at least 1")

    @property
    def batches(self) -> tuple[int, int]:
        """How many proposals are asked for at first, and later, at once."""
        if self.sampler == "evolution":
            return 100, 100
        return (16, 8) if self.one_by_one else (250, 250)

    def first_part(self) -> Trials:
        """Return about three quarters of the trials: whole batches, or all where that would be less than one."""
        first, later = self.batches
        whole = first + (self.count * 3 // 4 - first) // later * later
        return replace(self, count=min(whole if whole >= first else self.count, self.count))


def run_trials(
    trials: Trials, problem: Problem, record: Record, found: Evaluations, evaluate: Evaluate, advance: Advance
) -> None:
    """Continue a search from what is `found` (extended in place) to `trials.count` trials, recording each."""
    if trials.sampler in ("anyfit", "evolution"):
        make = Engine if trials.sampler == "anyfit" else OnceForAllEvolution
        _in_batches(make(problem, seed=trials.seed), trials, problem, record, found, evaluate, advance)
    else:
        _by_optuna(trials, problem, record, found, evaluate, advance)


def _in_batches(
    proposer: Proposer,
    trials: Trials,
    problem: Problem,
    record: Record,
    found: Evaluations,
    evaluate: Evaluate,
    advance: Advance,
) -> None:
    """Evaluate batch after batch.

    A batch depends only on the trials before it. So a batch that was broken off is proposed again, and what of it is
    already recorded is left out: a killed search goes on exactly as it would have.
    """
    first, later = trials.batches
    while len(found) < trials.count:
        start = 0 if len(found) < first else first + (len(found) - first) // later * later
        proposed = proposer.ask(first if start == 0 else later, found.codes[:start], found.score[:start])
        recorded = set(keys(found.codes[start:]))
        todo = [row for row, key in zip(proposed, keys(proposed), strict=True) if key not in recorded]
        if not todo:
            return  # every subnet of the space is known
        todo = np.array(todo[: trials.count - len(found)])
        for part in np.array_split(todo, len(todo)) if trials.one_by_one else [todo]:
            _evaluate(part, record, found, evaluate)
            advance(len(found), trials.count, best_feasible(problem, found))


def _evaluate(codes: np.ndarray, record: Record, found: Evaluations, evaluate: Evaluate) -> None:
    score, costs = evaluate(codes)
    _keep(codes, score, costs, record, found)


def _keep(
    codes: np.ndarray, score: np.ndarray, costs: np.ndarray, record: Record, found: Evaluations
) -> None:
    """Write evaluations and remember them: both or neither, and no lock is left behind."""
    with uninterrupted():
        record.append(codes, score, costs)
        found.extend(codes, score, costs)


def best_feasible(problem: Problem, found: Evaluations) -> float:
    """Return the best score among evaluations within the limits, NaN where there is none."""
    feasible = problem.feasible(found.costs)
    return float(found.score[feasible].max()) if feasible.any() else float("nan")


def _by_optuna(
    trials: Trials, problem: Problem, record: Record, found: Evaluations, evaluate: Evaluate, advance: Advance
) -> None:
    """Let one of Optuna's samplers propose.

    It proposes in a study in memory, for there a parameter costs no write; each finished trial goes to the record.
    """
    import optuna

    sampler = _optuna_sampler(
        trials.sampler, int(np.random.default_rng([trials.seed, len(found)]).integers(2**31))
    )
    shadow = optuna.create_study(directions=record.study.directions, sampler=sampler)
    shadow.add_trials(record.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
    while len(found) < trials.count:
        trial = shadow.ask()
        codes = problem.space.codes([problem.space.suggest(trial)])
        score, costs = evaluate(codes)
        cost = dict(zip(COSTS, costs[0].tolist(), strict=True))
        for name, excess in constraints(record.budget, cost).items():
            trial.set_constraint(name, excess)
        shadow.tell(trial, [record.quality.sign * float(score[0]), cost["latency_ms"]])
        _keep(codes, score, costs, record, found)
        advance(len(found), trials.count, best_feasible(problem, found))


def _optuna_sampler(name: str, seed: int) -> Any:
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tpe":
            return TPESampler(seed=seed, n_startup_trials=20)
        return NSGAIISampler(seed=seed) if name == "nsga2" else RandomSampler(seed=seed)
