"""`nas doctor` finds what is wrong with an installation, and only that."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nas.api import diagnosis
from nas.api.ownership import PACKAGES, check_ownership


def _distribution(folder: Path, metadata_text: str, record: str = "") -> metadata.PathDistribution:
    info = folder / "anyfit-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: anyfit\nVersion: 0.1.0\n{metadata_text}")
    (info / "RECORD").write_text(record)
    return metadata.PathDistribution(info)


def _package(folder: Path, name: str, text: str = "") -> Path:
    file = folder / name / "__init__.py"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the compiled imports, which take seconds and are tested by themselves."""
    monkeypatch.setattr(diagnosis, "check_imports", list)


def test_sound_installation(nas_run) -> None:
    outcome = nas_run("doctor", "--json")
    report = json.loads(outcome.stdout)
    assert (outcome.code, report["ok"], report["problems"]) == (0, True, [])
    names = {
        check["name"]: check for section in ("packages", "imports", "devices") for check in report[section]
    }
    assert {"python", "anyfit", "torch", "torchvision", "optuna", "streamlit", "processor", "memory"} <= set(
        names
    )
    assert "ruff" not in names  # what development alone needs
    assert all(names[package]["value"].startswith("ours") for package in PACKAGES)
    assert {check["name"] for check in report["runtimes"]} >= {"onnxruntime", "torch"}


@pytest.mark.usefixtures("sound")
def test_table_for_people(nas_run) -> None:
    outcome = nas_run("doctor")
    assert outcome.code == 0
    assert "torchvision" in outcome.stdout
    assert outcome.stderr == "all is well\n"


@pytest.mark.usefixtures("sound")
def test_foreign_package_is_found(nas_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = _package(tmp_path, "diffusion", "raise RuntimeError('never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = nas_run("doctor")
    assert outcome.code == 1
    assert f"{foreign} is another package than the diffusion of anyfit" in outcome.stderr
    assert "fresh environment" in outcome.stderr
    assert outcome.stderr.endswith("something is broken\n")


def test_folder_without_code_is_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (check,) = check_ownership(("app",))
    assert "another package" in check.problem


def test_missing_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (check,) = check_ownership(("gan_compress",))
    assert "is missing" in check.problem


@pytest.mark.parametrize(("text", "ours"), [("ours", True), ("overwritten by another wheel", False)])
def test_files_of_a_wheel_are_held_against_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, ours: bool
) -> None:
    _package(tmp_path, "app", text)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"ours").digest()).rstrip(b"=").decode()
    wheel = _distribution(tmp_path, "", f"app/__init__.py,sha256={digest},4\n")
    monkeypatch.setattr("nas.api.ownership.distribution", lambda: wheel)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (check,) = check_ownership(("app",))
    assert (check.problem == "") is ours


def test_requirements_are_held_against_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Provides-Extra: video\nProvides-Extra: dev\n" + "".join(
        f"Requires-Dist: {requirement}\n"
        for requirement in (
            "click>=8",
            "numpy>=999",
            "anyfit-needs-this>=2",
            "anyfit-video>=1; extra == 'video'",
            "anyfit-tool; extra == 'dev'",
            "anyfit-elsewhere; sys_platform == 'nowhere'",
        )
    )
    monkeypatch.setattr(diagnosis, "distribution", lambda: _distribution(tmp_path, text))
    checks = {check.name: check for check in diagnosis.check_packages()}
    assert set(checks) == {"python", "anyfit", "click", "numpy", "anyfit-needs-this", "anyfit-video"}
    assert checks["click"] == diagnosis.Check("click", metadata.version("click"))
    assert "is installed, but numpy>=999 is needed" in checks["numpy"].problem
    assert checks["anyfit-needs-this"].hint == "pip install 'anyfit-needs-this>=2'"
    assert checks["anyfit-video"].problem == ""
    assert checks["anyfit-video"].hint == "optional: pip install 'anyfit[video]'"


def test_source_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    *_, check = diagnosis.check_packages()
    assert "without being installed" in check.problem


def test_builds_that_do_not_fit_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "misfit_build.py").write_text(
        "raise RuntimeError('operator torchvision::nms\\n does not exist')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sound, broken = diagnosis.check_imports(("json", "misfit_build"))
    assert sound.problem == ""
    assert broken.problem == "misfit_build does not import: operator torchvision::nms does not exist"


def test_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path / "file" / "cache"))
    check = diagnosis.check_cache()
    assert "cannot be written (Not a directory)" in check.problem
    assert "ANYFIT_CACHE" in check.hint
