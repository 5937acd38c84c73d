"""Networks side by side: what is known of each, and their latencies measured together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas._table import Result, Table
from nas.api.figures import Figures, artifact_figures, load_supernet, predicted_latency, subnet_figures
from nas.api.tables import latency_origin
from nas.api.targets import DEFAULT_MODEL, find_target
from nas.errors import UsageError
from nas.export import Network, artifact_family, load_artifact, measure_networks
from nas.latency import Workload, chosen_runtime, format_bytes, format_count, format_ms
from nas.models import Model
from nas.progress import Listener, as_progress


@dataclass(frozen=True)
class Comparison(Result):
    """Two or more networks with their figures, and the choices in which they differ.

    Attributes:
        figures: Of each network: choices, qualities and latencies with their origin, MACs, parameters, bytes.

    Example:
        print(nas.compare("smallest", "runs/small", threads=1).table())
    """

    figures: Sequence[Figures]

    @property
    def differences(self) -> dict[str, list[Any]]:
        """The dimensions in which the subnets differ, with each one's choice (None where it has none)."""
        # The largest subnet has all dimensions, in the order of the space.
        ordered = sorted(self.figures, key=lambda found: len(found.subnet), reverse=True)
        names = dict.fromkeys(name for found in ordered for name in found.subnet)
        choices = {name: [found.subnet.get(name) for found in self.figures] for name in names}
        return {name: values for name, values in choices.items() if len(set(map(repr, values))) > 1}

    @property
    def origins(self) -> list[str]:
        """How the latencies were found: measured or predicted, by which runtime, workload and machine."""
        return sorted({latency_origin(entry) for each in self.figures for entry in each.latency})

    @property
    def remarks(self) -> list[str]:
        """How the latencies were found."""
        return [f"latency: {origin}" for origin in self.origins]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"networks": [found.to_dict() for found in self.figures], "differences": self.differences}

    def table(self) -> Table:
        """Return a row for each figure and each difference, a column for each network."""
        figures, kinds = self.figures, ("predicted", "measured")
        names = dict.fromkeys(entry.name for found in figures for entry in found.quality)
        rows = [
            [f"{name}, {kind}", *(_quality(found, name, kind) for found in figures)]
            for name in names
            for kind in kinds
        ]
        rows += [[f"latency, {kind}", *(_latency(found, kind) for found in figures)] for kind in kinds]
        rows += [
            ["latency, by the clock", *map(_clock, figures)],
            ["MACs", *(format_count(found.macs) for found in figures)],
            ["parameters", *(format_count(found.params) for found in figures)],
            ["size of weights", *(format_bytes(found.size_bytes) for found in figures)],
            ["supernet", *(found.model for found in figures)],
        ]
        rows = [row for row in rows if set(row[1:]) != {"–"}]
        for name, values in self.differences.items():
            rows.append([name, *("–" if value is None else str(value) for value in values)])
        return Table(["", *(found.name for found in figures)], rows)


def _quality(found: Figures, name: str, kind: str) -> str:
    known = (entry.text for entry in reversed(found.quality) if (entry.name, entry.kind) == (name, kind))
    return next(known, "–")


def _latency(found: Figures, kind: str) -> str:
    return next((format_ms(entry.median_ms) for entry in found.latency if entry.kind == kind), "–")


def _clock(found: Figures) -> str:
    known = [entry.raw_ms for entry in found.latency if entry.raw_ms is not None]
    return format_ms(known[-1]) if known else "–"


def compare(
    *targets: str,
    model: str | None = None,
    runtime: str | None = None,
    threads: int = 1,
    batch_size: int = 1,
    measured: bool = True,
    progress: Listener | None = None,
) -> Comparison:
    """Compare two or more subnets, runs, exported networks or supernets (their largest subnet).

    Args:
        *targets: What names each: "largest", a run's folder, an exported folder, a file subnet.json, a model.
        model: The supernet of subnets that do not name theirs.
        runtime: What measures; None for this machine's default.
        threads: That run a network.
        batch_size: Inputs of one pass.
        measured: Whether latencies are measured now, together, in turns.
        progress: Hears how many are measured, and remarks.

    Returns:
        The figures; measured latencies are of the same turns, so that they can be compared on a noisy machine.

    Raises:
        UsageError: Fewer than two, or a name that means nothing.

    Example:
        found = nas.compare("smallest", "largest", model="mbv3-cifar10", threads=1)
        found.differences       # {"resolution": [24, 32], ...}
    """
    hear = as_progress(progress)
    if len(targets) < 2:
        raise UsageError(
            f"one network ({' '.join(targets)}) is given, but two or more are needed to compare; name another"
        )
    known = [_read(text, model) for text in targets]
    chosen, workload = chosen_runtime(runtime), Workload(batch_size, threads)
    for found, _, supernet in known:
        if supernet is not None:
            older = [entry for entry in found.latency if entry.kind != "predicted"]
            if predicted := predicted_latency(supernet, found.subnet, chosen, workload, hear.remark):
                found.latency = [*predicted, *older]
    if measured:
        numbered = {str(number): network for number, (_, network, _) in enumerate(known)}
        latencies = measure_networks(numbered, chosen, workload, hear.steps("measuring"))
        for number, (found, _, _) in enumerate(known):
            predicted = [entry for entry in found.latency if entry.kind == "predicted"]
            found.latency = [*predicted, latencies[str(number)]]
    return Comparison([found for found, _, _ in known])


def _read(text: str, model: str | None) -> tuple[Figures, Network, Model | None]:
    """Return the figures, what is measured, and the supernet unless an exported network needs none."""
    target = find_target(text)
    if target.kind == "artifact":
        figures, manifest = artifact_figures(target)
        family = artifact_family(target.where, manifest)
        return figures, Network(load_artifact(target.where), family, figures.subnet, target.where), None
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    figures = subnet_figures(target, loaded)
    # The statistics decide no latency, so nothing is calibrated here.
    return figures, Network(loaded.supernet.extract(figures.subnet), loaded.family, figures.subnet), loaded
