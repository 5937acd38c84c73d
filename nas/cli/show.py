"""`nas show`: describe a supernet, a subnet, a run or an exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.api.targets import DEFAULT_MODEL
from nas.cli._options import json_option
from nas.cli._output import emit_json, result_console

if TYPE_CHECKING:
    from nas.api.figures import Figures
    from nas.api.targets import Target
    from nas.elastic import Supernet
    from nas.export import Architecture
    from nas.families import MeasuredTable, Model
    from nas.space import SearchSpace


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT", default=DEFAULT_MODEL)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet of a subnet, if it is not the default."
)
@json_option
def command(what: str, model: str | None, as_json: bool) -> None:
    """Describe a supernet and its search space, a run, or the architecture and figures of one network.

    \b
      nas show                        the shipped supernet
      nas show smallest               its smallest subnet, part by part
      nas show runs/<run>             what a search was asked and what it found
    """
    from nas.api.figures import load_supernet
    from nas.api.targets import find_target

    target = find_target(what)
    if target.kind == "artifact":
        _show_artifact(target, as_json)
        return
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    if target.kind == "model":
        _show_supernet(loaded, as_json)
    elif target.kind == "run":
        _show_run(target.where, target, loaded, as_json)
    else:
        from nas.api.figures import subnet_figures

        figures, more = subnet_figures(target, loaded), {"kind": "subnet"}
        _show_network(figures, loaded.supernet, more, as_json)


# --- a supernet -------------------------------------------------------------------------------------------------------


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
    from nas.api.tables import plain_table
    from nas.latency.units import format_bytes, format_count

    console = result_console()
    console.print(
        f"[bold]{model.name}[/]: a supernet of family {model.family.name}, {_classes(model)}"
        f"{len(space.dimensions)} dimensions, {space.size:.3g} subnets"
    )
    for name, counts in ends.items():
        macs, params = format_count(counts.macs), format_count(counts.params)
        console.print(f"{name:10} {macs} MACs, {params} parameters, {format_bytes(counts.size_bytes)}")
    if table is not None:
        console.print(
            f"{'measured':10} {len(table)} subnets, {', '.join(_range(model, table, name) for name in table.values)}"
        )
    for name, value in model.info.items():
        console.print(f"{name.replace('_', ' '):10} {_words(value)}", markup=False)
    console.print(f"{'folder':10} {model.path}", soft_wrap=True, markup=False)
    console.print(plain_table(("dimension", "how many", "choices", "active with"), _dimensions(space)))


def _classes(model: Model) -> str:
    return f"{len(model.classes)} classes, " if model.classes else ""


def _range(model: Model, table: MeasuredTable, name: str) -> str:
    quality, values = model.task.quality(name), table.values[name]
    return f"{quality.label} {quality.text(values.min())} to {quality.text(values.max())}"


def _dimensions(space: SearchSpace) -> list[tuple[str, ...]]:
    """Return a row for each kind of dimension: those of one stage with equal choices share it."""
    rows: dict[tuple[str, tuple[Any, ...]], list[Any]] = {}
    for dimension in space.dimensions:
        names = dimension.name.split(".")
        pattern = f"{names[0]}.*.{names[-1]}" if len(names) > 2 else dimension.name
        rows.setdefault((pattern, dimension.choices), []).append(dimension)
    found = []
    for (pattern, choices), members in rows.items():
        name = members[0].name if len(members) == 1 else pattern
        parents = dict.fromkeys(d.active_if[0] for d in members if d.active_if is not None)
        found.append((name, str(len(members)), _choices(choices), ", ".join(parents)))
    return found


def _choices(choices: tuple[Any, ...]) -> str:
    shown = (
        [*map(str, choices)]
        if len(choices) <= 8
        else [str(choices[0]), str(choices[1]), "…", str(choices[-1])]
    )
    return ", ".join(shown)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):  # what is nested deeper is for --json
        return ", ".join(
            f"{key} {_words(item)}" for key, item in value.items() if not isinstance(item, Mapping)
        )
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- one network ------------------------------------------------------------------------------------------------------


def _show_network(figures: Figures, supernet: Supernet, more: dict[str, Any], as_json: bool) -> None:
    from nas.export import architecture

    built = architecture(supernet, figures.subnet)
    if as_json:
        emit_json({**figures.to_dict(), **more, "architecture": built.to_dict()})
        return
    from nas.api.tables import figure_rows

    console = result_console()
    console.print(f"[bold]{figures.name}[/]: a subnet of {figures.model}", soft_wrap=True)
    for name, value in (*figure_rows(figures), *built.general.items()):
        console.print(f"{name:10} {value}", soft_wrap=True, markup=False)
    _print_architecture(built)


def _print_architecture(built: Architecture) -> None:
    from nas.api.tables import plain_table

    rows = built.rows()
    result_console().print(plain_table([*rows[0]], [[*row.values()] for row in rows]))


def _show_artifact(target: Target, as_json: bool) -> None:
    from nas.api.figures import artifact_figures
    from nas.api.tables import file_rows
    from nas.export import artifact_family, file_state, weightless

    figures, manifest = artifact_figures(target)
    states = {name: file_state(target.where, manifest, name) for name in manifest.files}
    more = {"created": manifest.created, "parity": manifest.parity, "files": states}
    _show_network(figures, weightless(artifact_family(target.where, manifest)), more, as_json)
    if not as_json:
        result_console().print(file_rows(str(target.where), manifest).to_rich())


# --- a run ------------------------------------------------------------------------------------------------------------


def _show_run(folder: Path, target: Target, model: Model, as_json: bool) -> None:
    from nas.api.figures import subnet_figures, whole_run
    from nas.export import architecture
    from nas.search import Budget, Outcome, RunFolder

    run = RunFolder.open(folder).info
    result = run.get("result")
    with whole_run(folder):
        budget = Budget.from_dict(run["budget"])
        quality = model.task.quality(run.get("quality"))
        outcome = (
            Outcome.from_dict(result, model.space, quality, folder) if isinstance(result, dict) else None
        )
    answered = isinstance(result, dict) and result.get("answer") is not None
    figures = subnet_figures(target, model) if answered else None
    built = architecture(model.supernet, figures.subnet) if figures else None
    if as_json:
        keys = ("state", "changed", "model", "budget", "sampler", "seed", "measured_with", "result")
        answer = {"kind": "run", "path": str(folder), **{key: run.get(key) for key in keys}}
        emit_json({**answer, "architecture": built.to_dict() if built else None})
        return
    from nas.api.tables import figure_rows, outcome_table

    console = result_console()
    console.print(
        f"[bold]{folder}[/]: a search that is {run.get('state')} ({run.get('changed')})", soft_wrap=True
    )
    asked = f"{budget}, sampler {run.get('sampler')}, seed {run.get('seed')}"
    console.print(f"{'model':10} {model.name}\n{'budget':10} {asked}", soft_wrap=True)
    if outcome is not None:
        console.print(f"{'trials':10} {outcome.trials}")
        if outcome.reason:
            console.print(outcome.reason, soft_wrap=True)
        if outcome.ladder or answered:
            console.print(outcome_table(outcome).to_rich())
    if figures is not None and built is not None:
        for name, value in (*figure_rows(figures), *built.general.items()):
            console.print(f"{name:10} {value}", soft_wrap=True, markup=False)
        _print_architecture(built)
        console.print(f"next: nas export {folder} --format onnx", soft_wrap=True)
    elif run.get("state") != "finished":
        console.print(f"next: nas search --resume {folder}", soft_wrap=True)
