"""What the public functions return: plain data with `to_dict()`, a `table()` and, where it helps, a `plot()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas._errors import UsageError
from nas.api.tables import Table, outcome_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from nas.api.model import Model
    from nas.export import Manifest
    from nas.search import Candidates, Choice, Outcome
    from nas.space import Subnet


@dataclass(frozen=True)
class Evaluation:
    """A quality of one network.

    Attributes:
        subnet: The network's choices.
        name: Of the quality, such as "top1"; `label` is for readers.
        value: In the quality's unit.
        unit: Such as "%" or "dB"; "" where there is none.
        data: What it was measured on.
        text: The value in words.
    """

    subnet: Subnet
    name: str
    label: str
    value: float
    unit: str
    data: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        found = {"name": self.name, "value": self.value, "unit": self.unit}
        return {"subnet": self.subnet.to_dict(), "quality": found, "data": self.data}


@dataclass(frozen=True)
class Exported:
    """An exported network: its folder, and what its manifest says of it."""

    folder: Path
    manifest: Manifest

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"output": str(self.folder), **self.manifest.to_dict()}

    def network(self) -> nn.Module:
        """Return the network as an ordinary module in evaluation mode."""
        from nas.export import load_artifact

        return load_artifact(self.folder)

    def table(self) -> Table:
        """Return the files with their sizes and states."""
        from nas.api.tables import file_rows

        return file_rows(str(self.folder), self.manifest)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True)
class SearchAnswer:
    """The subnet that a search answers, with its figures in `choice`: quality, latencies, counts."""

    choice: Choice
    model: Model

    @property
    def subnet(self) -> Subnet:
        """The choices of the answer."""
        return self.choice.subnet

    @property
    def quality(self) -> float:
        """The quality as it is known best, in its unit."""
        return self.choice.quality

    @property
    def latency_ms(self) -> float | None:
        """The measured latency at the machine's calm pace, by the statistic that the budget is about."""
        return self.choice.measured_ms

    def network(self) -> nn.Module:
        """Return the network, calibrated, as an ordinary module in evaluation mode."""
        return self.model.extract(self.subnet)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        outcome: The answer, the ladder of other budgets, and the evidence, as `nas search --json` prints them.
        model: The supernet that was searched.
    """

    outcome: Outcome
    model: Model

    @property
    def answer(self) -> SearchAnswer | None:
        """The best subnet within the budget; None where no subnet keeps it: `outcome.reason` says why."""
        return None if self.outcome.answer is None else SearchAnswer(self.outcome.answer, self.model)

    @property
    def ladder(self) -> tuple[Choice, ...]:
        """What other, round budgets would bring."""
        return self.outcome.ladder

    @property
    def run_dir(self) -> Path:
        """The run's folder; raises `UsageError` for a budget that was refused before there was one."""
        if self.outcome.run_dir is None:
            raise UsageError(f"the search left no run folder: {self.outcome.reason}")
        return self.outcome.run_dir

    @property
    def candidates(self) -> Candidates:
        """All evaluated subnets, with their Pareto front."""
        from nas.search import read_candidates

        return read_candidates(self.run_dir)

    @property
    def front(self) -> list[dict[str, Any]]:
        """The subnets of the Pareto front, quickest first: choices, quality and latency in ms."""
        found = self.candidates
        return [
            {
                "choices": found.choices(row),
                "quality": float(found.value[row]),
                "latency_ms": float(found.latency_ms[row]),
                "macs": int(found.macs[row]),
                "params": int(found.params[row]),
            }
            for row in found.front().tolist()
        ]

    def export(
        self, folder: str | Path, formats: Sequence[str] = ("onnx", "pt2"), **options: Any
    ) -> Exported:
        """Write the answer as files that run without anyfit; `options` are those of `Model.export`."""
        from nas.api.model import export_target
        from nas.api.targets import find_target

        return export_target(self.model, find_target(str(self.run_dir)), folder, formats, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas search --json` prints."""
        return self.outcome.to_dict()

    def table(self) -> Table:
        """Return the ladder and the answer, predicted beside measured."""
        return outcome_table(self.outcome)

    def plot(self) -> Figure:
        """Return the Pareto picture as a matplotlib figure."""
        from nas.search import pareto_figure

        return pareto_figure(self.candidates, self.outcome, f"{self.model.name}: {self.outcome.budget}")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


__all__ = ["Evaluation", "Exported", "SearchAnswer", "SearchResult"]
