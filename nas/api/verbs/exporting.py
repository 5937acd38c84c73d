"""Exporting: a target's subnet as files that run without anyfit; and judging a network by an evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from nas import models
from nas.api.data import AnyData, opened
from nas.api.figures import measured_with, subnet_figures
from nas.api.results import Evaluation, Exported
from nas.api.targets import Target
from nas.data import Data
from nas.errors import UsageError
from nas.export import Export, artifact_model, artifact_subnet, load_artifact, parse_formats
from nas.files import new_place
from nas.latency import Workload, chosen_runtime
from nas.models import Evaluator
from nas.progress import Listener, as_progress
from nas.space import Subnet


def judge(model: models.Model, module: nn.Module, subnet: Subnet, evaluator: Evaluator) -> Evaluation:
    """Return the quality that an evaluator finds of a network.

    Args:
        model: The supernet that the network is of.
        module: The static network, in evaluation mode.
        subnet: Its choices.
        evaluator: What measures: `model.task.evaluator(...)`.
    """
    value, kind = evaluator(model, module, subnet), evaluator.quality
    return Evaluation(subnet, kind.name, kind.label, value, kind.unit, evaluator.data, kind.text(value))


def evaluate_artifact(
    folder: str | Path,
    data: AnyData | None = None,
    *,
    quality: str | None = None,
    split: models.Split = "test",
) -> Evaluation:
    """Measure a quality of an exported network; the arguments are those of `nas.Model.evaluate`."""
    model = artifact_model(folder)
    evaluator = model.task.evaluator(model, model.task.quality(quality), opened(data), split=split)
    return judge(model, load_artifact(folder), artifact_subnet(folder, model.family), evaluator)


def export_target(
    model: models.Model,
    target: Target | None,
    folder: str | Path,
    formats: Sequence[str] = ("onnx", "pt2"),
    *,
    subnet: Subnet | str | None = None,
    data: Data | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    measured: bool = True,
    progress: Listener | None = None,
) -> Exported:
    """Export what a target names, or a subnet.

    Args:
        model: The supernet.
        target: What is exported, with what is known of it; None where `subnet` says it.
        folder: A new folder.
        formats: Names of formats.
        subnet: The choices, where there is no target.
        data: Images to recalibrate BatchNorm on, and to measure the quality on.
        runtime: What measures the latency; None as the run did, or this machine's default. `threads` and `batch_size`
            likewise, and 1.
        measured: Whether the latency of the file that ships is measured now.
        progress: Hears what is going on.

    Raises:
        UsageError: The folder exists; a format that there is none of; neither a target nor a subnet.
        ParityError: A file that does not give what the supernet gives.
    """
    folder = new_place(folder)
    chosen = parse_formats(",".join(formats))
    kept = measured_with(target.where) if target is not None and target.kind == "run" else {}
    how = chosen_runtime(runtime or kept.get("runtime"))
    workload = Workload(
        batch_size=batch_size or kept.get("batch_size", 1), threads=threads or kept.get("threads", 1)
    )
    how.require(workload)
    evaluators = [] if data is None else [
        model.task.evaluator(model, each, data, split="test") for each in model.task.qualities_of(model)
    ]  # fmt: skip
    quality, latency = [], []
    if target is not None:
        figures = subnet_figures(target, model)
        subnet, quality, latency = figures.subnet, figures.quality, figures.latency
    if not isinstance(subnet, Subnet):
        raise UsageError(
            f"{subnet!r} is no subnet; give one of the model's space, or a target that names one"
        )
    manifest = Export(
        model=model,
        subnet=subnet,
        formats=chosen,
        calibration=evaluators[0].calibration if evaluators else None,
        quality=quality,
        latency=[found for found in latency if not measured or found.kind == "predicted"],
        evaluators=evaluators,
        runtime=how if measured else None,
        workload=workload,
        report=as_progress(progress),
    ).write(folder)
    return Exported(folder, manifest)


__all__ = ["evaluate_artifact", "export_target", "judge"]
