"""`nas list`: what there is to work with. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli._options import json_option
from nas.cli._output import emit_json, result_console


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the shipped and cached models, the runs in ./runs, and this machine's latency profiles."""
    from nas.families import available_models
    from nas.latency.profile import cached_profiles

    models = [_model(name, path, kind) for name, path, kind in available_models()]
    runs = [_run(path) for path in sorted(Path("runs").glob("*/run.json"))]
    profiles = [str(path) for path in cached_profiles()]
    if as_json:
        emit_json({"models": models, "runs": runs, "profiles": profiles})
        return
    from rich.table import Table

    console = result_console()
    table = Table(title="models")
    for column in ("name", "kind", "family", "classes", "folder"):
        table.add_column(column)
    for model in models:
        table.add_row(*(str(model[column]) for column in ("name", "kind", "family", "classes", "path")))
    console.print(table)
    for title, lines in (
        ("runs", [f"{run['path']}  {run['state']}" for run in runs]),
        ("latency profiles", profiles),
    ):
        if lines:
            console.print(f"\n{title}")
            console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)


def _model(name: str, path: Path, kind: str) -> dict[str, Any]:
    from nas.families import read_model_config

    config = read_model_config(path)
    return {
        "name": name,
        "kind": kind,
        "family": config["family"],
        "classes": len(config["classes"]),
        "test": config.get("info", {}).get("test"),
        "path": str(path),
    }


def _run(path: Path) -> dict[str, Any]:
    from nas._errors import NasError
    from nas._files import read_json

    try:
        run = read_json(path)
        return {"path": str(path.parent), "state": run.get("state", "unknown"), "budget": run.get("budget")}
    except (NasError, AttributeError):
        return {"path": str(path.parent), "state": "broken", "budget": None}
