"""`nas list`: what there is to work with. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import click

from nas import api
from nas.cli.options import json_option
from nas.cli.output import emit_json, result_console


@click.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@json_option
def command(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the shipped and cached models, what was trained, searched and exported here, and this machine's profiles.

    Trained models, runs and exported folders are looked for inside every FOLDER.  [default: ./runs and .]
    """
    found = api.list_all(folders)
    if as_json:
        emit_json(found)
        return
    console = result_console()
    for title, table in found.tables().items():
        console.print(f"\n[bold]{title}[/]")
        console.print(table.to_rich())
