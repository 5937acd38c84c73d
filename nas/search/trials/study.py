"""The Optuna study behind every search: two named objectives, budgets as constraints, evaluations written in bulk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.errors import NasError
from nas.models import Quality
from nas.search.trials.budget import COSTS, Budget
from nas.search.trials.storage import BulkJournal, open_storage
from nas.space import SearchSpace, Subnet


@dataclass
class Evaluations:
    """Evaluated subnets in the order of their trials: codes (n, d), scores (n,), costs (n, 4) as in `COSTS`."""

    codes: np.ndarray
    score: np.ndarray
    costs: np.ndarray
    number: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def empty(cls, space: SearchSpace) -> Evaluations:
        """Return no evaluations."""
        return cls(
            np.empty((0, len(space.dimensions)), dtype=np.int16), np.empty(0), np.empty((0, len(COSTS)))
        )

    def extend(self, codes: np.ndarray, score: np.ndarray, costs: np.ndarray) -> None:
        """Append evaluations."""
        number = np.arange(len(self), len(self) + len(codes))
        self.codes = np.concatenate([self.codes, codes])
        self.score = np.concatenate([self.score, score])
        self.costs = np.concatenate([self.costs, costs])
        self.number = np.concatenate([self.number, number])


class Record:
    """A study on disk, to which evaluations are appended and from which they are read back."""

    def __init__(
        self,
        folder: Path,
        name: str,
        space: SearchSpace,
        budget: Budget,
        *,
        quality: Quality,
        url: str | None = None,
    ) -> None:
        """Open the study `name`, or create it. Raises `NasError` when it belongs to another search."""
        self.space = space
        self.budget = budget
        self.quality = quality
        self._storage, self._journal = open_storage(folder, url)
        with _quiet():
            self.study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=["maximize" if quality.higher_is_better else "minimize", "minimize"],
                load_if_exists=True,
            )
            self.study.set_metric_names([quality.name, "latency_ms"])
        made_for = self.study.user_attrs.get("space", space.digest)
        if made_for != space.digest:
            raise NasError(
                f"the study {name!r} searches the space {made_for}, but {space.digest} is expected; "
                "use another storage or run folder"
            )
        if "space" not in self.study.user_attrs:
            self.study.set_user_attr("space", space.digest)
            self.study.set_user_attr("budget", budget.to_dict())

    def append(self, codes: np.ndarray, score: np.ndarray, costs: np.ndarray) -> None:
        """Write evaluations as finished trials, in one piece where the storage can."""
        trials = [
            self._trial(self.space.from_codes(row), value, cost)
            for row, value, cost in zip(codes, (self.quality.sign * score).tolist(), costs, strict=True)
        ]
        with self._journal.bulk() if self._journal is not None else nullcontext():
            self.study.add_trials(trials)

    def _trial(self, subnet: Subnet, value: float, costs: np.ndarray) -> FrozenTrial:
        cost = dict(zip(COSTS, costs.tolist(), strict=True))
        now = datetime.now()
        trial = optuna.trial.create_trial(
            params=self.space.params(subnet),
            distributions={name: self._distributions[name] for name in subnet},
            values=[value, cost["latency_ms"]],
            user_attrs={name: int(cost[name]) for name in COSTS[1:]},
            constraints=constraints(self.budget, cost),
        )
        trial.datetime_start = trial.datetime_complete = now
        return trial

    @property
    def _distributions(self) -> dict[str, Any]:
        if not hasattr(self, "_made"):
            self._made = self.space.distributions()
        return self._made

    def load(self) -> Evaluations:
        """Read all finished trials back."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        evaluations = Evaluations.empty(self.space)
        if trials:
            costs = [[t.values[1], *(t.user_attrs.get(name, np.nan) for name in COSTS[1:])] for t in trials]
            evaluations.extend(
                trial_codes(self.space, trials),
                self.quality.sign * np.array([t.values[0] for t in trials]),
                np.array(costs, dtype=float),
            )
        return evaluations


def constraints(budget: Budget, cost: dict[str, float]) -> dict[str, float]:
    """Return Optuna's constraints: each limit's excess in its own unit, at most zero where it is kept."""
    return {name: float(cost[name] - limit) for name, limit in budget.to_dict().items()}


def trial_codes(space: SearchSpace, trials: Sequence[FrozenTrial]) -> np.ndarray:
    """Return the codes (n, d) of trials."""
    rows = np.full((len(trials), len(space.dimensions)), -1, dtype=np.int16)
    index = [{choice: code for code, choice in enumerate(d.choices)} for d in space.dimensions]
    for row, trial in zip(rows, trials, strict=True):
        for position, name in enumerate(space.names):
            if name in trial.params:
                row[position] = index[position][trial.params[name]]
    return rows


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


__all__ = ["BulkJournal", "Evaluations", "Record", "constraints", "trial_codes"]
