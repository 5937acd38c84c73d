"""The family that CONTRIBUTING.md shows passes the suite, installed as a package of its own, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nas.testing.families import RegisteredFamilySuite

_TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the package's modules and what pip would write of it."""
    files = dict(re.findall(r"^`(\w+\.py)`[^\n]*:\n\n```python\n(.*?)^```", _TEXT, re.M | re.S))
    assert [*files] == ["small_resnet.py", "test_small_resnet.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (described,) = re.findall(r"^```toml\n(.*?)^```", _TEXT, re.M | re.S)
    project = tomllib.loads(described)["project"]
    facts = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    lines = [
        line for group, own in groups for line in (f"[{group}]", *(f"{n} = {to}" for n, to in own.items()))
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def _environment(package: Path) -> dict[str, str]:
    """Return what another process needs to find the package; where lines are counted, its own are not."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLIPCOVER_", "PYTEST_"))
    }
    return {**own, "PYTHONPATH": str(package)}


def test_the_family_of_another_package_passes_the_suite(package: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(package),
            str(package),
        ],
        cwd=package,
        env=_environment(package),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    tests = [name for name in dir(RegisteredFamilySuite) if name.startswith("test_")]
    assert len(tests) > 40
    assert f"{len(tests)} passed" in done.stdout, "a test was skipped"
    assert "skipped" not in done.stdout


def test_commands_know_the_family(package: Path) -> None:
    """A package that is installed needs no import: its entry point is enough."""
    code = "from nas.families import families, get_family; print(families(), get_family('small-resnet').space.size)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(package),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "small-resnet" in done.stdout
    assert int(done.stdout.split()[-1]) > 50
