"""`nas list`: what there is to work with. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nas._errors import NasError
from nas._files import read_json
from nas.cli._options import json_option
from nas.cli._output import emit_json, result_console


@click.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@json_option
def command(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the shipped and cached models, what was trained, searched and exported here, and this machine's profiles.

    Trained models, runs and exported folders are looked for inside every FOLDER.  [default: ./runs and .]
    """
    from nas.families import available_models
    from nas.families._source import sources
    from nas.latency.profile import cached_profiles

    places = folders or (Path("runs"), Path())
    models = [_model(path, kind, name) for name, path, kind in available_models()]
    models += [_model(path, "trained") for path in _find(places, "supernet.json")]
    for name, source in sources().items():
        found = [path for path in _find(places, source.mark) if not (path / "manifest.json").is_file()]
        models += [_model(path, name) for path in found]
    runs = [_run(path) for path in _find(places, "run.json", "anyfit-run")]
    artifacts = [_artifact(path) for path in _find(places, "manifest.json", "anyfit-artifact")]
    profiles = [_profile(path) for path in cached_profiles()]
    if as_json:
        emit_json({"models": models, "runs": runs, "artifacts": artifacts, "profiles": profiles})
        return
    for title, rows in (
        ("models", models),
        ("runs", runs),
        ("exported", artifacts),
        ("latency profiles", profiles),
    ):
        if rows:
            _print(title, rows)


def _find(places: tuple[Path, ...], mark: str, format: str | None = None) -> list[Path]:
    """Return the folders with a file `mark` (of the given format) in, below or in `model` below the places."""
    found = {
        path.parent
        for place in places
        for pattern in ("", "*", "*/model")
        for path in _marks(place, pattern, mark)
    }
    return sorted(path for path in found if format is None or _format(path / mark) in (format, None))


def _marks(place: Path, pattern: str, mark: str) -> list[Path]:
    try:
        found = [*place.glob(f"{pattern}/{mark}" if pattern else mark)]
    except OSError:
        return []
    # What is being written has a name with a dot until it is whole.
    return [path for path in found if not path.relative_to(place).parts[0].startswith(".")]


def _format(path: Path) -> str | None:
    """Return the format a JSON file names, None for one that cannot be read (it is then listed as damaged)."""
    try:
        value = read_json(path)
    except NasError:
        return None
    return value.get("format", "") if isinstance(value, dict) else ""


def _model(path: Path, kind: str, name: str | None = None) -> dict[str, Any]:
    from nas.families import read_model_config

    try:
        config = read_model_config(path)
    except NasError:
        return {"name": name or path.name, "kind": f"{kind}, damaged", "path": str(path)}
    return {
        "name": name or config["name"],
        "kind": kind,
        "family": config["family"],
        "classes": len(config["classes"]) or None,
        "test": config.get("info", {}).get("test"),
        "path": str(path),
    }


def _run(path: Path) -> dict[str, Any]:
    try:
        run = read_json(path / "run.json")
    except NasError:
        return {"path": str(path), "state": "damaged"}
    answer = (run.get("result") or {}).get("answer")
    found = {"quality": answer["quality"], "latency_ms": answer["latency_ms"]} if answer else {}
    return {
        "path": str(path),
        "state": run.get("state"),
        "model": run.get("model"),
        "budget": run.get("budget"),
        **found,
    }


def _artifact(path: Path) -> dict[str, Any]:
    from nas.export import read_manifest

    try:
        manifest = read_manifest(path)
    except NasError:
        return {"path": str(path), "state": "damaged"}
    quality = {found.kind: asdict(found) for found in manifest.quality}
    latency = {found.kind: found.median_ms for found in manifest.latency}
    return {
        "path": str(path),
        "model": manifest.model,
        "files": sorted(manifest.files),
        "quality": quality.get("measured", quality.get("predicted")),
        "latency_ms": latency.get("measured", latency.get("predicted")),
        "macs": manifest.macs,
        "params": manifest.params,
    }


def _profile(path: Path) -> dict[str, Any]:
    try:
        profile = read_json(path)
        bound = profile["bound"]
        how = {
            "runtime": bound["runtime"],
            "workload": bound["workload"],
            "samples": len(profile["samples"]["codes"]),
        }
    except (NasError, KeyError, TypeError):
        return {"path": str(path), "state": "damaged"}
    return {"path": str(path), **how, "median_error_pct": profile.get("error", {}).get("median_pct")}


# --- on a terminal ----------------------------------------------------------------------------------------------------


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from nas.api.tables import plain_table

    columns = [*dict.fromkeys(key for row in rows for key in row if key != "files")]
    columns.sort(key=lambda column: column == "path")  # the longest stands last
    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    console = result_console()
    console.print(f"\n[bold]{title}[/]")
    console.print(plain_table([_HEADS.get(column, column) for column in columns], cells, left=["folder"]))


_HEADS = {
    "path": "folder",
    "latency_ms": "latency",
    "macs": "MACs",
    "params": "parameters",
    "median_error_pct": "median error %",
}


def _cell(column: str, value: Any) -> str:
    from nas.families import quality_text
    from nas.latency.units import format_count, format_ms

    if value is None or value == {}:
        return "–"
    if column == "test":
        # {"largest_top1": 85.1, "smallest_top1": 76.2, ...}
        ends = [key for end in ("smallest", "largest") for key in value if key.startswith(f"{end}_")]
        names = dict.fromkeys(key.partition("_")[2] for key in ends)
        return ", ".join(
            f"{name} " + " to ".join(f"{value[key]:.4g}" for key in ends if key.partition("_")[2] == name)
            for name in names
        )
    if column == "budget":
        from nas.search.budget import Budget

        return str(Budget.from_dict(value))
    if column == "quality":
        return f"{value['name']} {quality_text(value['value'], value['unit'])}"
    if column == "latency_ms":
        ms = (value.get("measured") or value["predicted"]) if isinstance(value, dict) else value
        return format_ms(ms)
    if column in ("macs", "params"):
        return format_count(value)
    if column == "workload":
        return ", ".join(f"{key.replace('_', ' ')} {entry}" for key, entry in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
