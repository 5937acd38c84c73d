"""`nas mcp`: let an agent search, follow, compare and export."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from nas import jobs
from nas._extras import how_to_install
from nas.errors import NasError


@click.command()
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The folder of the runs that it reads and makes.",
)
def command(runs: Path) -> None:
    """Serve the Model Context Protocol on stdin and stdout, so that an agent can search, follow, compare and export.

    \b
      nas mcp --runs runs

    A client starts it; register it there with full paths, for example:

    \b
      {"mcpServers": {"anyfit": {
        "command": "/home/me/project/.venv/bin/nas",
        "args": ["mcp", "--runs", "/home/me/project/runs"]}}}

    Then ask the agent: "make mbv3-cifar10 run in 1 ms here, and export it". Searches are jobs: they go on when the
    client disconnects, and the app (`nas app --runs ...`) shows the same ones.
    """
    if find_spec("mcp") is None:
        raise NasError(f"the server needs the package mcp, which is not installed; {how_to_install('mcp')}")
    jobs.use_root(runs)
    from nas.mcp.server import serve  # which imports what may not be installed

    serve()
