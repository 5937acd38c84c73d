"""Runs, exports and pages for the tests of the app."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh_caches() -> None:
    """Forget what other tests have cached in this process."""
    import streamlit as st

    st.cache_data.clear()


def end_jobs(runs: Path) -> None:
    """Kill what a test has left running for `runs`: it would slow down and outlive the others."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "app.keeper" in words and Path(words[-1]).is_relative_to(runs):
                for one in [*process.children(recursive=True), process]:
                    one.kill()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs, which the app shows."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("ANYFIT_RUNS", str(folder))
    yield folder
    end_jobs(folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder with a real search on the shipped classifier and an export of its answer.

    Profiling a machine that other tests keep busy takes a minute and more: of several workers one does it for all.
    """
    own, base = tmp_path_factory.mktemp("made"), tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    with FileLock(f"{shared}.lock"):
        if not (shared / "runs" / "first-export").exists():
            _search_and_export(shared)
    shutil.copytree(shared / "cache", own_cache, dirs_exist_ok=True)
    return Path(shutil.copytree(shared / "runs", own / "runs"))


def _search_and_export(folder: Path) -> None:
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    for line in (
        "search --latency 20ms --trials 60 --run-dir runs/first --json",
        "export runs/first --format onnx --output runs/first-export --json --no-measure",
    ):
        done = subprocess.run(
            [sys.executable, "-m", "nas", *line.split()], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"ANYFIT_CACHE": str(folder / "cache")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture
def finished(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with a search and an export, shown by the app."""
    monkeypatch.setenv("ANYFIT_RUNS", str(made))
    return made


@pytest.fixture
def page() -> Callable[..., Any]:
    """Return a function that runs a page of the app, with values in the address."""
    from streamlit.testing.v1 import AppTest

    def run(name: str, **query: str) -> Any:
        test = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
        for key, value in query.items():
            test.query_params[key] = value
        test.run()
        if name != "home":
            test.switch_page(f"app_pages/{name}.py").run()
        return test

    return run
