"""Describing a supernet, a run, one network or an exported one: what `nas show` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas import models
from nas._table import Table
from nas.api.figures import Figures, artifact_figures, load_supernet, subnet_figures, whole_run
from nas.api.tables import figure_rows, file_rows, outcome_table
from nas.api.targets import DEFAULT_MODEL, Target, find_target
from nas.elastic import Supernet
from nas.export import Architecture, architecture, artifact_family, file_state, weightless
from nas.latency import format_bytes, format_count
from nas.search import Budget, Outcome, RunFolder
from nas.space import SearchSpace


@dataclass(frozen=True)
class Description:
    """What is known of something.

    Attributes:
        name: What is described; `words` says in a few words what it is.
        value: The JSON object.
        blocks: What a reader is shown, in order: lines of a name and a value, sentences, and tables.
    """

    name: str
    words: str
    value: Mapping[str, Any]
    blocks: Sequence[tuple[str, str] | str | Table] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas show --json` prints."""
        return dict(self.value)

    def table(self) -> Table:
        """Return the lines that have a name."""
        return Table(("", "value"), [block for block in self.blocks if isinstance(block, tuple)], ("value",))

    def _repr_html_(self) -> str:
        tables = [block for block in self.blocks if isinstance(block, Table)]
        return "".join(table._repr_html_() for table in (self.table(), *tables))


def describe(what: str = DEFAULT_MODEL, model: str | None = None) -> Description:
    """Describe a supernet and its search space, a run, or the architecture and figures of one network.

    Args:
        what: A model's name or folder, a run's folder, an exported folder, a file subnet.json, "largest", "smallest".
        model: The supernet of a subnet that does not name its own.

    Raises:
        UsageError: A word that means nothing.
        NasError: Damaged files.
    """
    target = find_target(what)
    if target.kind == "artifact":
        return _artifact(target)
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    if target.kind == "model":
        return _supernet(loaded)
    if target.kind == "run":
        return _run(target.where, target, loaded)
    return _network(subnet_figures(target, loaded), loaded.supernet, {"kind": "subnet"})


# --- a supernet -------------------------------------------------------------------------------------------------------


def _supernet(model: models.Model) -> Description:
    space, supernet = model.space, model.supernet
    ends = {name: supernet.count(getattr(space, name)()) for name in ("smallest", "largest")}
    table = model.table()
    value = {
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
    blocks: list[tuple[str, str] | str | Table] = []
    for name, counts in ends.items():
        macs, params = format_count(counts.macs), format_count(counts.params)
        blocks.append((name, f"{macs} MACs, {params} parameters, {format_bytes(counts.size_bytes)}"))
    if table is not None:
        ranges = ", ".join(_range(model, table, name) for name in table.values)
        blocks.append(("measured", f"{len(table)} subnets, {ranges}"))
    blocks += [(name.replace("_", " "), _words(found)) for name, found in model.info.items()]
    blocks += [("folder", str(model.path))]
    blocks.append(Table(("dimension", "how many", "choices", "active with"), _dimensions(space)))
    classes = f"{len(model.classes)} classes, " if model.classes else ""
    counted = f"{classes}{len(space.dimensions)} dimensions, {space.size:.3g} subnets"
    words = f"a supernet of family {model.family.name}, {counted}"
    return Description(model.name, words, value, blocks)


def _range(model: models.Model, table: models.MeasuredTable, name: str) -> str:
    quality, values = model.task.quality(name), table.values[name]
    return f"{quality.label} {quality.text(values.min())} to {quality.text(values.max())}"


def _dimensions(space: SearchSpace) -> list[tuple[str, ...]]:
    """Return a row for each kind of dimension."""
    rows = []
    for name, members in space.grouped():
        parents = dict.fromkeys(each.active_if[0] for each in members if each.active_if is not None)
        rows.append((name, str(len(members)), _choices(members[0].choices), ", ".join(parents)))
    return rows


def _choices(choices: tuple[Any, ...]) -> str:
    few = len(choices) <= 8
    return ", ".join(map(str, choices if few else (*choices[:2], "…", choices[-1])))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):  # what is nested deeper is in the JSON object
        flat = {key: item for key, item in value.items() if not isinstance(item, Mapping)}
        return ", ".join(f"{key} {_words(item)}" for key, item in flat.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- one network ------------------------------------------------------------------------------------------------------


def _network(figures: Figures, supernet: Supernet, more: Mapping[str, Any]) -> Description:
    built = architecture(supernet, figures.subnet)
    value = {**figures.to_dict(), **more, "architecture": built.to_dict()}
    blocks = [*figure_rows(figures), *_general(built), _parts(built)]
    return Description(figures.name, f"a subnet of {figures.model}", value, blocks)


def _general(built: Architecture) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in built.general.items()]


def _parts(built: Architecture) -> Table:
    rows = built.rows()
    return Table([*rows[0]], [[*row.values()] for row in rows])


def _artifact(target: Target) -> Description:
    figures, manifest = artifact_figures(target)
    states = {name: file_state(target.where, manifest, name) for name in manifest.files}
    more = {"created": manifest.created, "parity": manifest.parity, "files": states}
    found = _network(figures, weightless(artifact_family(target.where, manifest)), more)
    return Description(
        found.name, found.words, found.value, [*found.blocks, file_rows(str(target.where), manifest)]
    )


def _maximised(run: Mapping[str, Any], model: models.Model) -> models.Quality:
    told = run.get("maximised", {}).get("name", run.get("quality"))
    return models.chosen_quality(model, told, run.get("data") is not None)


# --- a run ------------------------------------------------------------------------------------------------------------


def _run(folder: Path, target: Target, model: models.Model) -> Description:
    run = RunFolder.open(folder).info
    result = run.get("result")
    with whole_run(folder):
        budget, quality = Budget.from_dict(run["budget"]), _maximised(run, model)
        known = isinstance(result, dict)
        outcome = Outcome.from_dict(result, model.space, quality, folder) if known else None
    figures = subnet_figures(target, model) if known and result.get("answer") is not None else None
    built = architecture(model.supernet, figures.subnet) if figures else None
    keys = ("state", "changed", "model", "budget", "sampler", "seed", "measured_with", "result")
    value = {"kind": "run", "path": str(folder), **{key: run.get(key) for key in keys}}
    value["architecture"] = built.to_dict() if built else None
    blocks: list[tuple[str, str] | str | Table] = [("model", model.name)]
    blocks.append(("budget", f"{budget}, sampler {run.get('sampler')}, seed {run.get('seed')}"))
    if outcome is not None:
        blocks += [("trials", str(outcome.trials)), *filter(None, [outcome.reason])]
        if outcome.ladder or figures is not None:
            blocks.append(outcome_table(outcome))
    if figures is not None and built is not None:
        blocks += [*figure_rows(figures), *_general(built), _parts(built)]
        blocks.append(f"next: nas export {folder} --format onnx")
    elif run.get("state") != "finished":
        blocks.append(f"next: nas search --resume {folder}")
    return Description(
        str(folder), f"a search that is {run.get('state')} ({run.get('changed')})", value, blocks
    )


__all__ = ["Description", "describe"]
