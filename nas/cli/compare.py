"""`nas compare`: put networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.cli._options import DEFAULT_MODEL, batch_size_option, json_option, runtime_option, threads_option
from nas.cli._output import emit_json, progress_bar, result_console

if TYPE_CHECKING:
    from nas.cli._figures import Figures
    from nas.export._bench import Network


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

    Their latencies are measured together, interleaved, so that the comparison holds on a noisy machine.
    """
    from nas._errors import UsageError

    if len(what) < 2:
        raise UsageError(
            f"one network ({' '.join(what)}) is given, but two or more are needed to compare; name another"
        )
    known = [_read(text, model) for text in what]
    figures = [found for found, _ in known]
    if not no_measure:
        from nas.export._bench import measure_networks
        from nas.latency.runtimes import default_runtime, get_runtime
        from nas.latency.workload import Workload

        chosen = get_runtime(runtime) if runtime else default_runtime()
        networks = {str(number): network for number, (_, network) in enumerate(known)}
        with progress_bar("measuring") as advance:
            workload = Workload(batch_size=batch_size, threads=threads)
            measured = measure_networks(networks, chosen, workload, advance)
        for number, found in enumerate(figures):
            found.latency = [
                *[old for old in found.latency if old.kind == "predicted"],
                measured[str(number)],
            ]
    differences = _differences(figures)
    if as_json:
        emit_json({"networks": [found.to_dict() for found in figures], "differences": differences})
    else:
        _show(figures, differences)


def _read(text: str, model: str | None) -> tuple[Figures, Network]:
    from nas.cli._figures import artifact_figures, load_supernet, subnet_figures
    from nas.cli._targets import find_target
    from nas.export import artifact_family, load_artifact
    from nas.export._bench import Network

    target = find_target(text)
    if target.kind == "artifact":
        figures, manifest = artifact_figures(target)
        family = artifact_family(target.where, manifest)
        return figures, Network(load_artifact(target.where), family, figures.subnet, target.where)
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    figures = subnet_figures(target, loaded)
    return figures, Network(loaded.extract(figures.subnet), loaded.family, figures.subnet)


def _differences(figures: list[Figures]) -> dict[str, list[Any]]:
    """Return the dimensions in which the subnets differ, with each one's choice (None where it has none)."""
    names = dict.fromkeys(name for found in figures for name in found.subnet)
    choices = {name: [found.subnet.get(name) for found in figures] for name in names}
    return {name: values for name, values in choices.items() if len(set(map(repr, values))) > 1}


def _show(figures: list[Figures], differences: dict[str, list[Any]]) -> None:
    from rich.table import Table

    from nas.latency.units import format_bytes, format_count, format_ms

    table = Table()
    table.add_column("")
    for found in figures:
        table.add_column(found.name, justify="right")

    def latency(found: Figures, kind: str) -> str:
        return next((format_ms(entry.median_ms) for entry in found.latency if entry.kind == kind), "–")

    def accuracy(found: Figures) -> str:
        return next((f"{entry.value:.2f}% {entry.kind}" for entry in found.accuracy), "–")

    table.add_row("top-1", *map(accuracy, figures))
    for kind in ("predicted", "measured"):
        table.add_row(f"latency, {kind}", *(latency(found, kind) for found in figures))
    table.add_row("MACs", *(format_count(found.macs) for found in figures))
    table.add_row("parameters", *(format_count(found.params) for found in figures))
    table.add_row("size", *(format_bytes(found.size_bytes) for found in figures))
    for name, values in differences.items():
        table.add_row(name, *("–" if value is None else str(value) for value in values))
    result_console().print(table)
