"""What the public functions return: plain data with `to_dict()`, a `table()` and, where it helps, a `plot()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import api
from nas._table import Result, Table
from nas.api.tables import file_rows, latency_words, outcome_table, parity_table
from nas.api.targets import find_target
from nas.errors import UsageError
from nas.export import Manifest, ParityRow, load_artifact
from nas.latency import format_ms
from nas.search import Candidates, Choice, Outcome, pace_sentence, pareto_figure, read_candidates
from nas.space import Subnet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn


@dataclass(frozen=True)
class Evaluation(Result):
    """A quality of one network.

    Attributes:
        subnet: The network's choices.
        name: Of the quality, such as "top1"; `label` is for readers.
        value: In the quality's unit.
        unit: Such as "%" or "dB"; "" where there is none.
        data: What it was measured on.
        text: The value in words.

    Example:
        found = model.evaluate("smallest", "torchvision:CIFAR10")
        print(found.label, found.text, "on", found.data)
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

    def table(self) -> Table:
        """Return the value and what it was measured on."""
        return Table(("quality", "value", "measured on"), [(self.label, self.text, self.data)])


@dataclass(frozen=True)
class Exported(Result):
    """An exported network.

    Attributes:
        folder: Its files: weights, ONNX, a torch program, a model card, hashes.
        manifest: What manifest.json in it says: choices, figures with their origin, inputs, parity.

    Example:
        done = model.export("smallest", "artifacts/smallest", formats=["onnx"])
        done.network()(images)      # float32 (n, 3, height, width), normalised as `manifest.input` says
    """

    folder: Path
    manifest: Manifest

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"output": str(self.folder), **self.manifest.to_dict()}

    def network(self) -> nn.Module:
        """Return the network as an ordinary module in evaluation mode."""
        return load_artifact(self.folder)

    def table(self) -> Table:
        """Return the files with their sizes and states."""
        return file_rows(str(self.folder), self.manifest)

    def tables(self) -> Sequence[Table]:
        return parity_table([ParityRow.from_dict(row) for row in self.manifest.parity]), self.table()

    @property
    def remarks(self) -> list[str]:
        """Qualities and latencies with their origin, where the files are, and how to load them."""
        found = [f"{each.name:8} {each.text} ({each.kind}, {each.data})" for each in self.manifest.quality]
        found += [f"latency  {latency_words(each)}" for each in self.manifest.latency]
        found.append(f"\nwrote    {self.folder} (README.md says how to use each file)")
        return [*found, f'load     import nas; network = nas.load("{self.folder}")']


@dataclass(frozen=True)
class SearchAnswer:
    """The subnet that a search answers.

    Attributes:
        choice: Its figures: quality, latencies in ms (calm, as the clock had them, quantiles), MACs, parameters, bytes.
        model: The supernet that it is a subnet of.

    Example:
        answer = result.answer
        print(answer.latency_ms, answer.quality, answer.subnet)
        network = answer.network()
    """

    choice: Choice
    model: api.Model

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
class SearchResult(Result):
    """What a search found.

    Attributes:
        outcome: The answer, the ladder of other budgets, and the evidence, as `nas search --json` prints them.
        model: The supernet that was searched.

    Example:
        result = model.search(latency="1ms", threads=1)
        print(result.table())
        result.plot().savefig("front.png")
        result.export("artifacts/small", formats=["onnx"])
    """

    outcome: Outcome
    model: api.Model

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
        """Write the answer as files that run without anyfit, checked against the supernet; all of it or nothing.

        Args:
            folder: A new folder.
            formats: Of "onnx", "pt2" and "safetensors", which is always written.
            **options: As of `nas.Model.export`: data, runtime, threads, batch_size, measured, progress. What is not
                said is as the run measured.

        Raises:
            UsageError: The folder exists; a format that there is none of.
            NasError: The run has no answer.
            ParityError: A file that does not give what the supernet gives.
        """
        return api.export_target(self.model, find_target(str(self.run_dir)), folder, formats, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas search --json` prints."""
        return self.outcome.to_dict()

    def table(self) -> Table:
        """Return the ladder and the answer, predicted beside measured."""
        return outcome_table(self.outcome)

    def tables(self) -> Sequence[Table]:
        return [self.table()] if self.outcome.answer is not None or self.ladder else []

    @property
    def remarks(self) -> list[str]:
        """What the ends of the space take, how sure the answer is, where the run is, and what to do next."""
        found = self.outcome
        if found.answer is None:
            return []
        ends = "smallest subnet {}, largest {} (measured)".format(
            *map(format_ms, (found.smallest_ms, found.largest_ms))
        )
        said = [f"{ends}; {found.trials} subnets evaluated"]
        if found.answer.pace is not None:
            said.append(pace_sentence(found.answer.pace))
        said += [*filter(None, [found.reason]), *(f"warning: {warning}" for warning in found.warnings)]
        if found.run_dir is not None:
            said.append(f"\nrun folder   {found.run_dir} (pareto.png, pareto.csv, subnet.json)")
            if found.interrupted:
                said.append(f"continue     nas search --resume {found.run_dir}")
            said.append(f"next         nas export {found.run_dir} --format onnx")
        return said

    def plot(self) -> Figure:
        """Return the Pareto picture as a matplotlib figure."""
        return pareto_figure(self.candidates, self.outcome, f"{self.model.name}: {self.outcome.budget}")


__all__ = ["Evaluation", "Exported", "Result", "SearchAnswer", "SearchResult"]
