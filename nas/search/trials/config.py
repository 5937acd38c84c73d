"""What is searched: a model, a budget, how it is run and how long is looked; run.json keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nas.search.trials.budget import Budget


@dataclass(frozen=True)
class SearchConfig:
    """The settings of a search.

    Attributes:
        budget: The limits that the answer keeps.
        model: A model's name or folder.
        runtime: What runs networks; None for the default of this machine.
        batch_size: Images of one pass.
        threads: That run a network.
        data: The arguments of `nas.data.dataset.open_data`, for qualities that are measured on images of the user's.
        quality: What is maximised; None for the first of the model's task.
        statistic: What a latency is: "median", "p90" or "p99".
        trials: Subnets to evaluate; None for 500, or 64 where each is measured.
        sampler: What proposes subnets, one of `nas.search.SAMPLERS`.
        seed: Of all draws.
        storage: The URL of an Optuna storage; None for a journal in the run's folder.
    """

    budget: Budget
    model: str
    runtime: str | None = None
    batch_size: int = 1
    threads: int = 1
    data: Mapping[str, Any] | None = None
    quality: str | None = None
    statistic: str = "median"
    trials: int | None = None
    sampler: str = "anyfit"
    seed: int = 0
    storage: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, part of run.json."""
        return {**asdict(self), "budget": self.budget.to_dict()}

    @classmethod
    def from_run(cls, info: Mapping[str, Any], trials: int | None = None) -> SearchConfig:
        """Read the settings of a run; `trials`, when given, replaces its number of trials."""
        own = {each.name: info[each.name] for each in fields(cls) if each.name in info}
        kept = {**own, "budget": Budget.from_dict(info["budget"])}
        return cls(**kept) if trials is None else cls(**{**kept, "trials": trials})
