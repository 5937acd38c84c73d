"""What is known of a subnet, run or artifact, with its origin: the one reading of them that every command shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas import export, latency, search
from nas.api.targets import Target, model_of
from nas.errors import NasError, UsageError
from nas.export import Latency, Manifest, QualityFigure, is_artifact, read_manifest
from nas.files import read_json
from nas.models import Model, load_model
from nas.space import Subnet

VALIDATION = "the model's table"


@dataclass
class Figures:
    """One network with its figures.

    Attributes:
        name: For readers; `kind` is "model" (its largest subnet), "subnet", "run" (its answer) or "artifact".
        model: The supernet's name.
        subnet: The choices.
        macs: Multiply-accumulates of one output.
        params: Parameters.
        size_bytes: Of its tensors, few bits packed.
        quality: Every known quality with its origin; `latency` likewise, in ms.
    """

    name: str
    kind: str
    model: str
    subnet: Subnet
    macs: int
    params: int
    size_bytes: int
    quality: list[QualityFigure] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            **{
                name: getattr(self, name)
                for name in ("name", "kind", "model", "macs", "params", "size_bytes")
            },
            "subnet": self.subnet.to_dict(),
            "quality": [asdict(item) for item in self.quality],
            "latency": [asdict(item) for item in self.latency],
        }


def load_supernet(target: Target, given: str | None, default: str) -> Model:
    """Load the supernet that a target belongs to.

    Args:
        target: What was named.
        given: A supernet's name or folder that goes before what the target says; None for none.
        default: The supernet of a target that names none.

    Raises:
        UsageError: An exported network in its place, or an unknown name.
    """
    name = model_of(target, given, default)
    export.refuse_pickle(name)
    if is_artifact(name):
        raise UsageError(f"{name} is an exported network and not a supernet; give a supernet with --model")
    return load_model(name)


def read_subnet(target: Target, model: Model) -> Subnet:
    """Return the subnet a target means: a model means its largest; another space's raises `SpaceError`."""
    if target.kind == "run":
        read_answer(target.where)
        return model.space.read(target.where / "subnet.json")
    if target.kind == "artifact":
        return model.space.read(target.where / "subnet.json")
    if target.kind == "model" or target.text == "largest":
        return model.space.largest()
    return model.space.smallest() if target.text == "smallest" else model.space.read(target.where)


def subnet_figures(target: Target, model: Model) -> Figures:
    """Return the figures of a model, subnet or run, from its own folder and from the model's table."""
    subnet = read_subnet(target, model)
    counts = model.supernet.count(subnet)
    quality, latency = table_quality(model, subnet), []
    if target.kind == "run":
        quality, latency = run_quality(target.where), run_latency(target.where)
    name = target.text if target.kind != "model" else f"{model.name}, largest"
    return Figures(
        name,
        target.kind,
        model.name,
        subnet,
        counts.macs,
        counts.params,
        counts.size_bytes,
        quality,
        latency,
    )


def artifact_figures(target: Target) -> tuple[Figures, Manifest]:
    """Return the figures of an exported artifact, which need no supernet."""
    manifest = read_manifest(target.where)
    subnet = export.artifact_subnet(target.where, export.artifact_family(target.where, manifest))
    figures = Figures(
        target.text,
        "artifact",
        manifest.model,
        subnet,
        manifest.macs,
        manifest.params,
        manifest.size_bytes,
        [*manifest.quality],
        [*manifest.latency],
    )
    return figures, manifest


def table_quality(model: Model, subnet: Subnet) -> list[QualityFigure]:
    """Return the subnet's qualities by the model's table: measured if it is in there, else predicted from it."""
    table = model.table()
    if table is None or not len(table):
        return []
    codes = model.space.codes([subnet])
    rows = (table.codes == codes[0]).all(axis=1).nonzero()[0]
    found = []
    for name, values in table.values.items():
        quality = model.task.quality(name)
        if len(rows):
            kind, value = "measured", float(values[rows[0]])
        else:
            kind, value = "predicted", float(search.Predictor(model, quality).values(codes)[0])
        found.append(QualityFigure(name=name, value=value, kind=kind, data=VALIDATION, unit=quality.unit))
    return found


def predicted_latency(
    model: Model,
    subnet: Subnet,
    runtime: latency.Runtime,
    workload: latency.Workload,
    report: Callable[[str], None] = lambda text: None,
) -> list[Latency]:
    """Return the latency that this machine's cached profile predicts; nothing where there is no such profile.

    `report` hears why a profile that is there cannot be used.
    """
    if not latency.profile_path(model, runtime, workload).is_file():
        return []
    try:
        profile = latency.load_profile(model, runtime, workload)
    except NasError as error:
        report(f"no predicted latency: {error}")
        return []
    predicted = Latency(
        kind="predicted",
        median_ms=float(profile.predict_ms(model.space.codes([subnet]))[0]),
        runtime=f"{runtime.name} {runtime.version}",
        machine=str(latency.machine_fingerprint(runtime.device)),
        **workload.to_dict(),
    )
    return [predicted]


@contextmanager
def whole_run(folder: Path) -> Iterator[None]:
    """Turn a missing or garbled field of run.json, while it is read, into a `NasError` naming the file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise NasError(
            f"{folder / 'run.json'} lacks or garbles a field ({error}); search again into a new folder"
        ) from error


def read_answer(folder: Path) -> dict[str, Any]:
    """Return the answer of a run, as `nas search --json` prints it; raises `NasError` when it has none."""
    result = search.RunFolder.open(folder).info.get("result")
    answer = result.get("answer") if isinstance(result, dict) else None
    if not isinstance(answer, Mapping) or not (folder / "subnet.json").is_file():
        raise NasError(
            f"the run {folder} has no answer: it found no subnet within its budget or was not finished; "
            "search again with a larger budget, or resume it"
        )
    return dict(answer)


def run_quality(folder: Path) -> list[QualityFigure]:
    """Return the answer's predicted and measured quality."""
    answer, run = read_answer(folder), read_json(folder / "run.json")
    with whole_run(folder):
        quality = answer["quality"]
        found = {name: quality[name] for name in ("name", "unit")}
        kinds = (("predicted", VALIDATION), ("measured", run.get("evaluated_on") or "not said"))
        return [
            QualityFigure(**found, value=quality[kind], kind=kind, data=data)
            for kind, data in kinds
            if quality[kind] is not None
        ]


def measured_with(folder: Path) -> dict[str, Any]:
    """Return the runtime, threads and batch size that a run measured with."""
    run = read_json(folder / "run.json")
    with whole_run(folder):
        how = run.get("measured_with") or {}
        workload = {name: how["workload"][name] for name in ("threads", "batch_size")} if how else {}
        return {"runtime": how["runtime"], **workload} if how else {}


def run_latency(folder: Path) -> list[Latency]:
    """Return the answer's predicted and measured latency."""
    answer, run = read_answer(folder), read_json(folder / "run.json")
    with whole_run(folder):
        found, how = answer["latency_ms"], run["measured_with"]
        machine = how["machine"]
        common: dict[str, Any] = {
            "runtime": f"{how['runtime']} {how['runtime_version']}",
            "machine": f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores, {machine['system']}",
            **how["workload"],
        }
        known = []
        if run["result"].get("statistic", "median") == "median":
            known.append(Latency(kind="predicted", median_ms=found["predicted"], **common))
        if found["measured"] is not None:
            median_ms = found.get("median") or found["measured"]
            raw_ms = None if answer.get("pace") is None else median_ms * answer["pace"]
            restless = answer.get("restless", False)
            known.append(
                Latency(
                    kind="measured", median_ms=median_ms, p90_ms=found["p90"], raw_ms=raw_ms,
                    is_restless=restless, **common,
                )
            )  # fmt: skip
        return known
