"""The main job needs no extra; what needs one says in a sentence which, and how it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas._extras import PACKAGES, how_to_install
from tests.conftest import Outcome

_HIDE = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
hidden = {sorted(PACKAGES)!r}


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else find(name, path, target)


PathFinder.find_spec = find_spec
"""
_RUN = """
import contextlib, io, json, sys
from nas.cli._main import run

done = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(words)
    done.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""
Nas = Callable[..., list[Outcome]]


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder where no package of an extra can be imported, by a process or by its worker processes."""
    folder = tmp_path_factory.mktemp("hide")
    (folder / "sitecustomize.py").write_text(_HIDE)
    return folder


@pytest.fixture(scope="module")
def nas(hiding: Path) -> Nas:
    """Run `nas` several times in one process without extras: importing torch takes longer than most commands."""
    environment = os.environ | {"PYTHONPATH": str(hiding), "COLUMNS": "200"}

    def run(*lines: str) -> list[Outcome]:
        command = [sys.executable, "-c", _RUN, json.dumps([line.split(" ") for line in lines])]
        done = subprocess.run(command, cwd=hiding, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [Outcome(*each) for each in json.loads(done.stdout)]

    return run


def test_packages_are_really_hidden(hiding: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(hiding)}
    for name in ("diffusers", "streamlit", "pandas"):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, capture_output=True)
        assert b"ModuleNotFoundError" in done.stderr


def test_a_search_and_an_export_need_no_extra(nas: Nas) -> None:
    profiled, found, done = nas(
        "profile --samples 20 --threads 1",
        "search --macs 5M --trials 30 --threads 1 --run-dir run --json",
        "export run --format onnx --output small --no-measure --json",
    )
    assert profiled.code == 0, profiled.stderr
    assert found.code == 0, found.stderr
    assert json.loads(found.stdout)["answer"]["macs"] <= 5e6
    assert done.code == 0, done.stderr


def test_looking_around_needs_no_extra(nas: Nas) -> None:
    lines = ("--help", "list", "show smallest", "doctor")
    for done, told in zip(nas(*lines), ("app", "tiny-sd-cifar10", "parameters", "streamlit"), strict=True):
        assert done.code == 0 and told in done.stdout and "Traceback" not in done.stderr, done


REFUSED = {
    "search --model tiny-sd-cifar10 --latency 20ms": ("diffusers", "diffusion"),
    "show tiny-sd-cifar10": ("diffusers", "diffusion"),
    "diffusion sample ship": ("diffusers", "diffusion"),
    "app": ("Streamlit", "app"),
    "mcp": ("mcp", "mcp"),
}


@pytest.fixture(scope="module")
def refused(nas: Nas) -> dict[str, Outcome]:
    return dict(zip(REFUSED, nas(*REFUSED), strict=True))


@pytest.mark.parametrize("line", REFUSED)
def test_what_needs_an_extra_says_how_to_install_it(refused: dict[str, Outcome], line: str) -> None:
    done, (package, extra) = refused[line], REFUSED[line]
    assert done.code == 1 and done.stdout == ""
    (sentence,) = done.stderr.strip().splitlines()[-1:]
    assert package in sentence and sentence.endswith(how_to_install(extra)), done.stderr
    assert "Traceback" not in done.stderr
