"""Which subnets a table lacks: those near the Pareto front that a predictor sees, fitted to the rows there are.

Subnets drawn at random say little about the front: there, one choice decides what the others are worth. So a table
grows in rounds, each of which asks a predictor of the rows so far where the front lies. No machine is asked: a latency
is stood in for by MACs, with a price for each call of a program beside it, in turn none, a little and much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.latency.profiles.passes import Programs
from nas.models import Evaluator, MeasuredTable, Model, Quality
from nas.progress import Steps
from nas.search.engine.engine import Engine
from nas.search.engine.pareto import peel
from nas.search.engine.problem import Problem, keys
from nas.search.testbed.measured_table import FIT, HELD_OUT, choose_subnets, measure_table
from nas.search.testbed.scorer import Predictor

PRICES = (0.0, 0.1, 0.3)
"""Of a call of a program, as a share of what one input costs in the largest network's."""
_ROUND = 60  # subnets that are looked for at once, before a new predictor is fitted
_KEPT = 0.8  # the share of the rows that each predictor is fitted to, so that they do not err alike
_ASKED = 4  # times as many are proposed as are taken


@dataclass(frozen=True)
class Design:
    """How many subnets a table has, how many of them only judge predictors, how many are looked for near the front."""

    count: int
    held_out: int
    near_front: int = 0
    seed: int = 0


def measure_design(
    model: Model,
    evaluators: Sequence[Evaluator],
    design: Design,
    *,
    path: Path,
    real_calibration: bool = False,
    jobs: int = 1,
    progress: Steps | None = None,
) -> MeasuredTable:
    """Measure the subnets of a design by every evaluator into the table at `path`; stopped, it goes on where it was.

    Those near the front, by the first evaluator's quality, come after the others, in rounds; then the rows that are
    held out are among them.
    """

    def advance(done: int, _: int) -> None:
        if progress:
            progress(done, design.count)

    def measured(codes: np.ndarray, split: tuple[str, ...]) -> MeasuredTable:
        return measure_table(
            model,
            codes,
            split,
            evaluators,
            path=path,
            real_calibration=real_calibration,
            jobs=jobs,
            progress=advance,
        )

    near = min(design.near_front, design.count)
    table = measured(*choose_subnets(model, design.count - near, 0 if near else design.held_out, design.seed))
    while (left := design.count - len(table)) > 0:
        codes = near_front(model, evaluators[0].quality, table, min(_ROUND, left), design.seed)
        if not len(codes):
            break
        rng = np.random.default_rng([design.seed, len(table)])
        judged = rng.random(len(codes)) < design.held_out / near
        split = (*table.split, *(HELD_OUT if own else FIT for own in judged))
        table = measured(np.concatenate([table.codes, codes]), split)
    return table


def near_front(model: Model, quality: Quality, table: MeasuredTable, count: int, seed: int = 0) -> np.ndarray:
    """Return codes (count, dimensions) of subnets near the front of `quality` that `table` lacks."""
    rng = np.random.default_rng([seed, len(table)])
    known = set(keys(table.codes))
    chosen: list[np.ndarray] = []
    for turn, price in enumerate(PRICES):
        wanted = (count - len(chosen)) // (len(PRICES) - turn)
        predictor = Predictor(model, quality, table=_some_rows(table, rng))
        costs = DesignCosts(model, price)
        ends = costs(model.space.codes([model.space.smallest(), model.space.largest()]))
        limit = np.exp(rng.uniform(*np.log(ends[:, 0])))
        problem = Problem(model.space, ("cost",), costs, np.array([limit]), predictor.score)
        engine = Engine(problem, seed=int(rng.integers(2**31)), front=0.9)
        asked = engine.ask(_ASKED * wanted, table.codes[:0], np.zeros(0))
        fresh = asked[[key not in known for key in keys(asked)]]
        score = predictor.score(fresh)
        best = peel(
            np.column_stack([costs(fresh)[:, 0], -score]), np.ones(len(fresh), dtype=bool), 3 * wanted
        )
        for row in fresh[best[_spread(score[best], wanted, rng)]]:
            known.add(keys(row[None])[0])
            chosen.append(row)
    return np.array(chosen, dtype=np.int16).reshape(len(chosen), len(model.space.dimensions))


def _spread(score: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to `count` positions, evenly over the score: evenly over costs, half would be of the worst."""
    if not len(score):
        return np.empty(0, dtype=np.int64)
    places = np.digitize(score, np.linspace(score.min(), score.max(), count + 1)[1:-1])
    shuffled = rng.permutation(len(score))
    _, firsts = np.unique(places[shuffled], return_index=True)
    others = np.delete(shuffled, firsts)
    return np.concatenate([shuffled[firsts], others])[:count]


def _some_rows(table: MeasuredTable, rng: np.random.Generator) -> MeasuredTable:
    """Return the table with some of the rows that predictors are fitted to held out as well."""
    kept = rng.random(len(table)) < _KEPT
    split = tuple(own if keep else "held-out" for own, keep in zip(table.split, kept, strict=True))
    return replace(table, split=split)


class DesignCosts:
    """What an output costs, in multiply-accumulates, where each call of a program has a price of its own."""

    def __init__(self, model: Model, price: float) -> None:
        self._model, self._programs, self._price = model, Programs(model), price
        self._columns = [[*model.family.programs].index(name) for name, _ in self._programs.kinds]
        self._batches = np.array([batch for _, batch in self._programs.kinds])
        self._largest = self._of_programs(model.space.codes([model.space.largest()]))

    def _of_programs(self, codes: np.ndarray) -> np.ndarray:
        """Return the MACs of one input of each kind's program (n, kinds)."""
        return self._model.supernet.program_macs(codes).sum(1)[:, self._columns].astype(np.float64)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Return the costs (n, 1) of codes (n, dimensions)."""
        one = self._of_programs(codes) * self._batches + self._price * self._largest
        return (self._programs.times(codes) * one).sum(1, keepdims=True)
