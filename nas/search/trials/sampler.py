"""Our sampler: an ordinary Optuna sampler on the outside, batches of predictions on the inside.

problem = Problem(space, ("latency_ms",), latency_of_codes, limits=np.array([20.0]))
study = optuna.create_study(direction="maximize", sampler=AnyfitSampler(problem, seed=0))
study.optimize(lambda trial: accuracy(space.suggest(trial)), n_trials=200)
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.search.engine.engine import Engine
from nas.search.engine.problem import Problem
from nas.search.trials.study import trial_codes


class AnyfitSampler(BaseSampler):
    """Proposes subnets that keep the problem's limits: additive fits, an exact knapsack, prescreened evolution.

    `first` trials make up the first design, then `batch` are proposed from one fit of the model (later more: an eighth
    of the trials there are). `front` is the share of trials spent on the rest of the Pareto front: by default none in
    a study of one objective, 0.3 in one of several. `objective` is the position of the quality among the objectives.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        first: int = 16,
        batch: int = 8,
        front: float | None = None,
        objective: int = 0,
    ) -> None:
        self.problem = problem
        self._seed = seed
        self._first = first
        self._batch = batch
        self._front = front
        self._objective = objective
        self._engine: Engine | None = None
        self._queue: deque[dict[str, Any]] = deque()
        self._rng = np.random.default_rng([seed, 3])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.problem.space.distributions())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._queue:
            self._fill(study)
        return self._queue.popleft() if self._queue else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw uniformly: only asked when the whole space has been evaluated, or for parameters outside of it."""
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[self._rng.integers(len(param_distribution.choices))]
        return param_distribution.to_external_repr(float(getattr(param_distribution, "low", 0.0)))

    def reseed_rng(self) -> None:
        self._seed = int(np.random.default_rng().integers(2**31))
        self._engine = None
        self._queue.clear()
        self._rng = np.random.default_rng([self._seed, 3])

    def _fill(self, study: Study) -> None:
        if self._engine is None:
            front = self._front if self._front is not None else (0.3 if len(study.directions) > 1 else 0.0)
            self._engine = Engine(self.problem, seed=self._seed, front=front)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        codes = trial_codes(self.problem.space, trials)
        quality = np.array([trial.values[self._objective] for trial in trials], dtype=float)
        if study.directions[self._objective] == StudyDirection.MINIMIZE:
            quality = -quality
        count = self._first if len(trials) < self._first else max(self._batch, len(trials) // 8)
        space = self.problem.space
        for row in self._engine.ask(count, codes, quality):
            self._queue.append(space.params(space.from_codes(row)))
