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

_HIDE = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
hidden = {sorted(PACKAGES)!r}


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else find(name, path, target)


PathFinder.find_spec = find_spec
"""
Nas = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def nas(tmp_path: Path) -> Nas:
    """Run `nas` in a new folder where no package of an extra can be imported, by it or by its worker processes."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(_HIDE)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "hide"), "COLUMNS": "200"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nas", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_packages_are_really_hidden(tmp_path: Path, nas: Nas) -> None:
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "hide")}
    for name in ("diffusers", "streamlit", "pandas"):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, capture_output=True)
        assert b"ModuleNotFoundError" in done.stderr


def test_a_search_and_an_export_need_no_extra(nas: Nas) -> None:
    assert nas("profile", "--samples", "20", "--threads", "1").returncode == 0
    done = nas("search", "--macs", "5M", "--trials", "30", "--threads", "1", "--run-dir", "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"]["macs"] <= 5e6
    done = nas("export", "run", "--format", "onnx", "--output", "small", "--no-measure", "--json")
    assert done.returncode == 0, done.stderr


def test_looking_around_needs_no_extra(nas: Nas) -> None:
    for words, told in (
        (("--help",), "app"),
        (("list",), "tiny-sd-cifar10"),
        (("show", "smallest"), "parameters"),
        (("doctor",), "streamlit"),
    ):
        done = nas(*words)
        assert done.returncode == 0 and told in done.stdout and "Traceback" not in done.stderr, (words, done)


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("search", "--model", "tiny-sd-cifar10", "--latency", "20ms"), "diffusers", "diffusion"),
        (("show", "tiny-sd-cifar10"), "diffusers", "diffusion"),
        (("diffusion", "sample", "a photo of a ship"), "diffusers", "diffusion"),
        (("app",), "Streamlit", "app"),
        (("mcp",), "mcp", "mcp"),
    ],
)
def test_what_needs_an_extra_says_how_to_install_it(
    nas: Nas, words: tuple[str, ...], package: str, extra: str
) -> None:
    done = nas(*words)
    assert done.returncode == 1 and done.stdout == ""
    (sentence,) = done.stderr.strip().splitlines()[-1:]
    assert package in sentence and sentence.endswith(how_to_install(extra)), done.stderr
    assert "Traceback" not in done.stderr
