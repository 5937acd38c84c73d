"""`nas show`: describe a supernet, a subnet, a run or an exported model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.cli._options import DEFAULT_MODEL, json_option
from nas.cli._output import emit_json, result_console

if TYPE_CHECKING:
    from nas.cli._figures import Figures
    from nas.elastic import Supernet
    from nas.families import Model


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT", default=DEFAULT_MODEL)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet of a subnet, if it is not the default."
)
@json_option
def command(what: str, model: str | None, as_json: bool) -> None:
    """Describe a supernet and its search space, or the architecture and figures of one network."""
    from nas.cli._figures import artifact_figures, load_supernet, subnet_figures
    from nas.cli._targets import find_target

    target = find_target(what)
    if target.kind == "artifact":
        from nas.export import artifact_family, weightless

        figures, manifest = artifact_figures(target)
        _show_network(figures, weightless(artifact_family(target.where, manifest)), as_json)
        return
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    if target.kind == "model":
        _show_supernet(loaded, as_json)
    else:
        _show_network(subnet_figures(target, loaded), loaded.supernet, as_json)


def _show_supernet(model: Model, as_json: bool) -> None:
    space, supernet = model.space, model.supernet
    ends = {name: supernet.count(getattr(space, name)()) for name in ("smallest", "largest")}
    table = model.table()
    answer: dict[str, Any] = {
        "kind": "model",
        "name": model.name,
        "family": model.family.name,
        "classes": model.classes,
        "subnets": space.size,
        "digest": space.digest,
        "dimensions": [
            {"name": d.name, "choices": d.choices, "active_if": d.active_if} for d in space.dimensions
        ],
        "counts": {name: vars(counts) for name, counts in ends.items()},
        "measured_subnets": 0 if table is None else len(table),
        "info": model.info,
        "path": str(model.path),
    }
    if as_json:
        emit_json(answer)
        return
    from rich.table import Table

    from nas.latency.units import format_bytes, format_count

    console = result_console()
    console.print(
        f"{model.name}: {model.family.name}, {len(model.classes)} classes, {space.size:.3g} subnets"
    )
    for name, counts in ends.items():
        macs, params = format_count(counts.macs), format_count(counts.params)
        console.print(f"{name:9} {macs} MACs, {params} parameters, {format_bytes(counts.size_bytes)}")
    console.print(f"measured  {answer['measured_subnets']} subnets")
    rows = Table(title="search space")
    rows.add_column("dimension")
    rows.add_column("choices")
    rows.add_column("where")
    for d in space.dimensions:
        condition = "" if d.active_if is None else f"{d.active_if[0]} in {list(d.active_if[1])}"
        rows.add_row(d.name, ", ".join(map(str, d.choices)), condition)
    console.print(rows)


def _show_network(figures: Figures, supernet: Supernet, as_json: bool) -> None:
    from nas.export import architecture

    built = architecture(supernet, figures.subnet)
    if as_json:
        emit_json({**figures.to_dict(), "architecture": built.to_dict()})
        return
    from rich.table import Table

    from nas.cli._tables import figure_rows

    console = result_console()
    console.print(f"{figures.name}: a subnet of {figures.model}")
    for name, value in figure_rows(figures):
        console.print(f"{name:10} {value}")
    for name, value in built.general.items():
        console.print(f"{name:10} {value}")
    rows = built.rows()
    table = Table(title="architecture")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
