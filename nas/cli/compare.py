"""`nas compare`: put networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.cli._options import DEFAULT_MODEL, batch_size_option, json_option, runtime_option, threads_option
from nas.cli._output import emit_json, progress_bar, result_console

if TYPE_CHECKING:
    from nas.cli._figures import Figures
    from nas.export._bench import Network
    from nas.families import Model
    from nas.latency.runtimes import Runtime
    from nas.latency.workload import Workload


@click.command()
@click.argument("what", metavar="A B ...", nargs=-1, required=True)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet, if a subnet does not name it."
)
@click.option("--no-measure", is_flag=True, help="Compare what is known; measure no latency now.")
@runtime_option
@threads_option
@batch_size_option
@json_option
def command(
    what: tuple[str, ...],
    model: str | None,
    no_measure: bool,
    runtime: str | None,
    threads: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Compare two or more subnets, runs, exported models or supernets (their largest subnet).

    \b
      nas compare smallest largest
      nas compare runs/<run> runs/<other run>-export

    Their latencies are measured together, interleaved, so that the comparison holds on a noisy machine.
    """
    from nas._errors import UsageError

    if len(what) < 2:
        raise UsageError(
            f"one network ({' '.join(what)}) is given, but two or more are needed to compare; name another"
        )
    known = [_read(text, model) for text in what]
    figures = [found for found, _, _ in known]
    chosen, workload = _workload(runtime, threads, batch_size)
    for found, _, supernet in known:
        if supernet is not None:
            _predict(found, supernet, chosen, workload)
    if not no_measure:
        _measure(figures, [network for _, network, _ in known], chosen, workload)
    differences = _differences(figures)
    if as_json:
        emit_json({"networks": [found.to_dict() for found in figures], "differences": differences})
    else:
        _show(figures, differences)


def _read(text: str, model: str | None) -> tuple[Figures, Network, Model | None]:
    """Return the figures, what is measured, and the supernet unless an exported network needs none."""
    from nas.cli._figures import artifact_figures, load_supernet, subnet_figures
    from nas.cli._targets import find_target
    from nas.export import artifact_family, load_artifact
    from nas.export._bench import Network

    target = find_target(text)
    if target.kind == "artifact":
        figures, manifest = artifact_figures(target)
        family = artifact_family(target.where, manifest)
        return figures, Network(load_artifact(target.where), family, figures.subnet, target.where), None
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    figures = subnet_figures(target, loaded)
    # The statistics decide no latency, so nothing is calibrated here.
    return figures, Network(loaded.supernet.extract(figures.subnet), loaded.family, figures.subnet), loaded


def _workload(runtime: str | None, threads: int, batch_size: int) -> tuple[Runtime, Workload]:
    from nas.latency.runtimes import default_runtime, get_runtime
    from nas.latency.workload import Workload

    return get_runtime(runtime) if runtime else default_runtime(), Workload(batch_size, threads)


def _predict(found: Figures, model: Model, runtime: Runtime, workload: Workload) -> None:
    """Put the cached profile's prediction in the place of an older one."""
    from nas.cli._figures import predicted_latency

    if predicted := predicted_latency(model, found.subnet, runtime, workload):
        found.latency = [*predicted, *(old for old in found.latency if old.kind != "predicted")]


def _measure(figures: list[Figures], networks: list[Network], runtime: Runtime, workload: Workload) -> None:
    from nas.export._bench import measure_networks

    numbered = {str(number): network for number, network in enumerate(networks)}
    with progress_bar("measuring") as advance:
        measured = measure_networks(numbered, runtime, workload, advance)
    for number, found in enumerate(figures):
        predicted = [old for old in found.latency if old.kind == "predicted"]
        found.latency = [*predicted, measured[str(number)]]


def _differences(figures: list[Figures]) -> dict[str, list[Any]]:
    """Return the dimensions in which the subnets differ, with each one's choice (None where it has none)."""
    # The largest subnet has all dimensions, in the order of the space.
    ordered = sorted(figures, key=lambda found: len(found.subnet), reverse=True)
    names = dict.fromkeys(name for found in ordered for name in found.subnet)
    choices = {name: [found.subnet.get(name) for found in figures] for name in names}
    return {name: values for name, values in choices.items() if len(set(map(repr, values))) > 1}


def _show(figures: list[Figures], differences: dict[str, list[Any]]) -> None:
    from nas.cli._tables import latency_origin, plain_table
    from nas.latency.units import format_bytes, format_count, format_ms

    def latency(found: Figures, kind: str) -> str:
        return next((format_ms(entry.median_ms) for entry in found.latency if entry.kind == kind), "–")

    def clock(found: Figures) -> str:
        known = [entry.raw_ms for entry in found.latency if entry.raw_ms is not None]
        return format_ms(known[-1]) if known else "–"

    def quality(found: Figures, name: str, kind: str) -> str:
        known = (entry.text for entry in reversed(found.quality) if (entry.name, entry.kind) == (name, kind))
        return next(known, "–")

    kinds = ("predicted", "measured")
    names = dict.fromkeys(entry.name for found in figures for entry in found.quality)
    rows = [
        [f"{name}, {kind}", *(quality(found, name, kind) for found in figures)]
        for name in names
        for kind in kinds
    ]
    rows += [[f"latency, {kind}", *(latency(found, kind) for found in figures)] for kind in kinds]
    rows += [["latency, by the clock", *map(clock, figures)]]
    rows += [
        ["MACs", *(format_count(found.macs) for found in figures)],
        ["parameters", *(format_count(found.params) for found in figures)],
        ["size of weights", *(format_bytes(found.size_bytes) for found in figures)],
        ["supernet", *(found.model for found in figures)],
    ]
    rows = [row for row in rows if set(row[1:]) != {"–"}]
    rows += [[name, *("–" if v is None else str(v) for v in values)] for name, values in differences.items()]
    console = result_console()
    console.print(plain_table(["", *(found.name for found in figures)], rows))
    origins = {latency_origin(entry) for found in figures for entry in found.latency}
    for origin in sorted(origins):
        console.print(f"latency: {origin}", soft_wrap=True, markup=False)
