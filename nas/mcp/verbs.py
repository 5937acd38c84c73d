"""Models and networks as the tools answer them, by the verbs of `nas.api`; torch is loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nas import api, jobs, latency
from nas.api.targets import DEFAULT_MODEL
from nas.errors import UsageError
from nas.mcp.answers import (
    ComparisonReport,
    DimensionGroup,
    ExportedFile,
    ExportReport,
    LatencyValue,
    ModelDescription,
    NetworkCounts,
    NetworkReport,
    ParityCheck,
    ProfileSummary,
    QualityRange,
    QualityValue,
)


def loaded(name: str) -> api.Model:
    """Load a supernet; an exported network in its place raises `UsageError`."""
    found = api.load(place(name))
    if not isinstance(found, api.Model):
        raise UsageError(
            f"{name!r} is an exported network and not a supernet; list_models names the supernets"
        )
    return found


def place(name: str) -> str:
    """Return what the library calls a name: the folder of a run or export below the root, else the name itself."""
    try:
        folder = jobs.safe_folder(name)
    except UsageError:
        return name
    return str(folder) if folder.is_dir() else name


def describe(model: api.Model, runtime: str | None, threads: int, batch_size: int) -> ModelDescription:
    """Describe a supernet, with this machine's cached profile of it."""
    chosen, workload = (
        latency.chosen_runtime(runtime),
        latency.Workload(batch_size=batch_size, threads=threads),
    )
    chosen.require(workload)
    profile, table = latency.cached_profile(model, chosen, workload), model.table()
    ends = {end: vars(model.supernet.count(getattr(model.space, end)())) for end in ("smallest", "largest")}
    return ModelDescription(
        name=model.name,
        family=model.family.name,
        task=model.family.task,
        subnets=float(model.space.size),
        dimensions=[
            DimensionGroup(name=name, count=len(members), choices=[*members[0].choices])
            for name, members in model.space.grouped()
        ],
        qualities=_qualities(model),
        measured_subnets=0 if table is None else len(table),
        smallest=NetworkCounts(**ends["smallest"]),
        largest=NetworkCounts(**ends["largest"]),
        profile=None if profile is None else _profile(profile),
        folder=str(model.path),
    )


def _qualities(model: api.Model) -> list[QualityRange]:
    table = model.table()
    values = {} if table is None else table.values
    return [
        QualityRange(
            name=each.name,
            label=each.label,
            unit=each.unit,
            higher_is_better=each.higher_is_better,
            table_minimum=float(values[each.name].min()) if each.name in values else None,
            table_maximum=float(values[each.name].max()) if each.name in values else None,
        )
        for each in model.task.qualities_of(model)
    ]


def _profile(profile: latency.Profile) -> ProfileSummary:
    bound = profile.bound
    return ProfileSummary(
        is_good=profile.is_good,
        doubt=profile.doubt,
        median_error_pct=profile.error["median_pct"],
        samples=len(profile.codes),
        restless_samples=profile.restless,
        smallest_latency_ms=profile.smallest_ms,
        largest_latency_ms=profile.largest_ms,
        runtime=f"{bound['runtime']} {bound['runtime_version']}",
        threads=bound["workload"]["threads"],
        batch_size=bound["workload"]["batch_size"],
        made=profile.made,
    )


# --- networks side by side, and exported ------------------------------------------------------------------------------


def compare(networks: Sequence[str], is_measured: bool, **options: Any) -> ComparisonReport:
    """Compare networks by `nas.compare`; what is measured waits for no job and disturbs none."""

    def compared() -> ComparisonReport:
        found = api.compare(*map(place, networks), measured=is_measured, **options)
        names = zip(networks, found.figures, strict=True)
        return ComparisonReport(
            networks=[_network(name, figures) for name, figures in names], differences=found.differences
        )

    if not is_measured:
        return compared()
    with jobs.turn():
        return compared()


def export(
    what: str,
    name: str,
    formats: Sequence[str],
    model: str | None,
    is_measured: bool,
    report: Callable[[str], None],
) -> ExportReport:
    """Export what a name means into a new folder below the root, by `Model.export`."""
    target = api.find_target(place(what))
    if target.kind == "artifact":
        raise UsageError(f"{what!r} is exported already; give a run, 'largest' or 'smallest'")
    folder = jobs.safe_folder(jobs.new_name(name))
    supernet = api.Model.of(api.load_supernet(target, model, DEFAULT_MODEL))
    with jobs.turn():
        done = supernet.export(
            str(target.path or target.text),
            folder,
            formats,
            measured=is_measured,
            progress=lambda stage, *steps: report(stage),
        )
    return _exported(name, done)


def _exported(name: str, done: api.Exported) -> ExportReport:
    figures, manifest = api.artifact_figures(api.find_target(str(done.folder)))
    files = {each: entry["bytes"] for each, entry in manifest.files.items()}
    runs_as = "model.onnx with ONNX Runtime" if "model.onnx" in files else "its files with PyTorch"
    return ExportReport(
        name=name,
        folder=str(done.folder),
        files=[ExportedFile(name=each, size_bytes=size) for each, size in files.items()],
        parity=[
            ParityCheck(
                format=row["format"],
                error=row["max_relative_delta"],
                tolerance=row["tolerance"],
                is_ok=row["max_relative_delta"] <= row["tolerance"],
            )
            for row in manifest.parity
        ],
        network=_network(name, figures),
        message=f"run {runs_as}; README.md in {Path(done.folder).name} says what goes in and comes out",
    )


def _network(name: str, figures: api.Figures) -> NetworkReport:
    plain = {each: getattr(figures, each) for each in ("kind", "model", "macs", "params", "size_bytes")}
    return NetworkReport(
        name=name,
        **plain,
        qualities=[QualityValue.model_validate(found, from_attributes=True) for found in figures.quality],
        latencies=[LatencyValue.model_validate(found, from_attributes=True) for found in figures.latency],
    )
