"""`nas app`: open the app in a browser."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from nas import jobs
from nas.cli.commands import log
from nas.errors import NasError, UsageError, how_to_install


@click.command(short_help="Open the app in a browser.")
@click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
    help="The folder of the runs that it shows and makes.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="The port.")
@click.option("--no-browser", is_flag=True, help="Open no browser.")
def command(runs: Path, host: str, port: int, no_browser: bool) -> None:
    """Search, explore, compare, try and export in a browser.

    \b
      nas app                          the runs in ./runs
      nas app --runs work --port 9000

    It listens on this machine only. It has no password: before --host opens it to others, put a proxy with
    authentication in front of it (docs/guides/app.md shows one).
    """
    import os
    import sys
    from importlib.util import find_spec

    if find_spec("streamlit") is None:
        raise NasError(f"the app needs Streamlit, which is not installed; {how_to_install('app')}")
    jobs.use_root(runs)
    if not is_loopback(host):
        log(f"warning: {host} can be reached by other machines, and the app has no password")
    require_free(host, port)
    script = Path(__file__).with_name("main.py")
    options = {
        "server.address": host,
        "server.port": str(port),
        # Streamlit asks whoever starts it first for an e-mail address, and serves nothing until a key is pressed.
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        # Our own line says where the app is.
        "logger.hideWelcomeMessage": "true",
        "logger.level": "warning",
    }
    if no_browser:  # else Streamlit opens one where there is a display
        options["server.headless"] = "true"
    log(f"the app is at http://{host}:{port} (Ctrl-C ends it; jobs that run go on)")
    arguments = [f"--{name}={value}" for name, value in options.items()]
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(script), *arguments])


def require_free(host: str, port: int) -> None:
    """Raise `UsageError` where an address cannot be listened on."""
    import socket

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot listen on {host}, port {port} ({reason}); choose another --port or --host"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
