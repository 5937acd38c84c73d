"""`nas app`: where it listens, and what it says before that."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would have taken the process's place."""
    found: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: found.append(words))
    monkeypatch.setenv("ANYFIT_RUNS", "")
    return found


def test_it_listens_on_this_machine_only(nas_run, started: list[list[str]], tmp_path: Path) -> None:
    done = nas_run("app", "--runs", tmp_path / "runs", "--no-browser", "--port", "9001")
    assert done.code == 0 and "http://127.0.0.1:9001" in done.stderr and "warning" not in done.stderr
    (words,) = started
    assert "--server.address=127.0.0.1" in words and "--server.port=9001" in words
    assert (tmp_path / "runs").is_dir() and os.environ["ANYFIT_RUNS"] == str(tmp_path / "runs")


def test_another_address_is_warned_of(nas_run, started: list[list[str]], tmp_path: Path) -> None:
    done = nas_run("app", "--runs", tmp_path / "runs", "--host", "0.0.0.0")
    assert done.code == 0 and "the app has no password" in done.stderr


def test_a_place_that_cannot_be_made_costs_a_sentence(
    nas_run, started: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = nas_run("app", "--runs", tmp_path / "file" / "runs")
    assert done.code == 1 and "cannot make" in done.stderr and not started
    done = nas_run("app", "--port", "0")
    assert done.code == 2 and not started


def test_a_port_that_is_taken_costs_a_sentence(nas_run, started: list[list[str]], tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = nas_run("app", "--runs", tmp_path / "runs", "--port", str(taken.getsockname()[1]))
    assert done.code == 2 and "choose another --port" in done.stderr and not started
    done = nas_run("app", "--runs", tmp_path / "runs", "--host", "no.such.host.invalid")
    assert done.code == 2 and "cannot listen on no.such.host.invalid" in done.stderr


def test_without_streamlit_it_says_what_to_install(nas_run, started, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    true = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "streamlit" else true(name, *more)
    )
    done = nas_run("app")
    assert done.code == 1 and "pip install 'anyfit[app]'" in done.stderr and not started


@contextlib.contextmanager
def app_in_a_new_home(
    folder: Path, stdin: int, output: int | Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start `nas app` as a new user would, and yield its process and its port; it is killed in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "home").mkdir()
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment = {name: value for name, value in environment.items() if not name.startswith("STREAMLIT_")}
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open(output, "wb")) if isinstance(output, Path) else output
        process = subprocess.Popen(
            [sys.executable, "-m", "nas", "app", "--port", str(port)], cwd=folder,
            env=environment | {"HOME": str(folder / "home")}, stdin=stdin, stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process, port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def serves(process: subprocess.Popen[bytes], port: int, seconds: float = 60) -> bool:
    """Whether the app answers before it ends or `seconds` are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer,
        ):
            return answer.status == 200
        time.sleep(0.2)
    return False


def test_in_a_new_home_it_serves_without_a_key_pressed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with app_in_a_new_home(tmp_path, theirs, theirs) as (process, port):
            found = serves(process, port)
            os.set_blocking(ours, False)
            words = os.read(ours, 100_000).decode(errors="replace")
    finally:
        os.close(ours)
        os.close(theirs)
    assert found, words
    assert f"the app is at http://127.0.0.1:{port}" in words and "mail" not in words.lower()


def test_in_a_new_home_it_serves_without_a_terminal(tmp_path: Path) -> None:
    with app_in_a_new_home(tmp_path, subprocess.DEVNULL, tmp_path / "output") as (process, port):
        found = serves(process, port)
    words = (tmp_path / "output").read_text()
    assert found, words
    assert f"the app is at http://127.0.0.1:{port}" in words and "mail" not in words.lower()


def test_the_theme_and_pictures_are_where_the_app_looks_for_them() -> None:
    import tomllib

    folder = Path(__file__).parents[2] / "app"
    config = tomllib.loads((folder / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] == 8 and {"light", "dark"} <= set(config["theme"])
    assert (
        len(list((folder / "images" / "samples").glob("*.png"))) >= 3
        and (folder / "images" / "idea.svg").is_file()
    )
