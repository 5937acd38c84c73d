"""Measuring many subnets into a model's table, which a search without data ranks subnets by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nas._table import Result, Table
from nas.data import Data
from nas.errors import UsageError
from nas.latency import available_cores
from nas.models import MeasuredTable, Model, Quality, bind_table, load_model
from nas.progress import Listener, as_progress
from nas.search import Design, measure_design, predictor_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measurements(Result):
    """A model's table of measured subnets.

    Attributes:
        path: The file subnets.csv in the model's folder.
        subnets: Its rows: subnets with their qualities, MACs and parameters.
        qualities: Those that were measured, in the order of the model's task.
        predictors: By quality, what a predictor fitted to the table is worth on the rows that were held out ("n",
            "kendall", "mean_abs" in the quality's unit); None with fewer than ten of them.

    Example:
        found = model.measure("torchvision:CIFAR10", count=300)
        print(found.table())
    """

    path: Path
    subnets: MeasuredTable
    qualities: Sequence[Quality]
    predictors: Mapping[str, Mapping[str, float] | None]

    def range(self, quality: Quality) -> tuple[float, float]:
        """Return the lowest and the highest value of a quality, in its unit."""
        values = self.subnets.values[quality.name]
        return float(values.min()), float(values.max())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas measure --json` prints."""
        found = {
            quality.name: {
                **dict(zip(("lowest", "highest"), self.range(quality), strict=True)),
                "predictor": self.predictors[quality.name],
            }
            for quality in self.qualities
        }
        return {"table": str(self.path), "subnets": len(self.subnets), "qualities": found}

    def table(self) -> Table:
        """Return a row for each quality: its range, and what its predictor is worth."""
        rows = []
        for quality in self.qualities:
            judged, ends = self.predictors[quality.name], self.range(quality)
            error = ("–", "–") if judged is None else (
                f"{judged['kendall']:.3f}", quality.text(judged["mean_abs"])
            )  # fmt: skip
            rows.append((quality.label, *map(quality.text, ends), *error))
        return Table(("quality", "lowest", "highest", "Kendall's τ", "mean error"), rows)

    @property
    def remarks(self) -> list[str]:
        """Where the table is."""
        return [f"{len(self.subnets)} subnets in {self.path}"]

    def plot(self) -> Figure:
        """Return each quality against the MACs as a matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.2 * len(self.qualities)), layout="constrained")
        for axis, quality in zip(
            figure.subplots(len(self.qualities), 1, squeeze=False)[:, 0], self.qualities, strict=True
        ):
            axis.scatter(self.subnets.macs, self.subnets.values[quality.name], s=6)
            axis.set_xlabel("MACs")
            axis.set_ylabel(" ".join(filter(None, (quality.label, quality.unit))))
        return figure


def measure_model(
    model: Model,
    data: Data | None = None,
    *,
    count: int = 700,
    held_out: int = 100,
    near_front: int | None = None,
    qualities: Sequence[str] = (),
    real_calibration: bool = False,
    jobs: int | None = None,
    seed: int = 0,
    progress: Listener | None = None,
) -> Measurements:
    """Measure subnets of a model; `nas.Model.measure` says what the arguments are."""
    task = model.task
    chosen = _chosen(model, data is not None, qualities)
    evaluators = [task.evaluator(model, quality, data) for quality in chosen]
    if near_front is None:
        near_front = count // 2 if model.family.pass_dimensions else 0
    path = model.path / "subnets.csv"
    if jobs is None:
        jobs = 1 if torch.cuda.is_available() else available_cores()
    bind_table(model.path, own_calibration=not real_calibration)
    table = measure_design(
        model,
        evaluators,
        Design(count, held_out, near_front, seed),
        path=path,
        real_calibration=real_calibration,
        jobs=jobs,
        progress=as_progress(progress).steps("measuring subnets"),
    )
    fresh = load_model(model.path)
    judged = {
        quality.name: predictor_errors(fresh, quality) if held_out >= 10 else None for quality in chosen
    }
    return Measurements(path, table, chosen, judged)


def _chosen(model: Model, has_data: bool, names: Sequence[str]) -> list[Quality]:
    """Return the qualities to measure, in the task's order: those named, or all that can be."""
    task = model.task
    known = [*task.qualities_of(model)]
    possible = [quality for quality in known if has_data or not task.needs_data(quality)]
    if not possible:
        raise UsageError(f"{known[0].label} is measured on images; name some with --data")
    named = [task.quality(name) for name in names]
    if lacking := [quality for quality in named if quality not in possible]:
        raise UsageError(
            f"{lacking[0].label} cannot be measured here; leave it out, or name images with --data"
        )
    return [quality for quality in possible if not named or quality in named]


__all__ = ["Measurements", "measure_model"]
