"""No family, task or runtime of ours is without its suite, and who lacks what the suites need is told what to install."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import nas.testing
from nas.errors import NasError
from nas.families import families
from nas.latency.runtimes import runtime_names


def _cases(pattern: str) -> set[str]:
    """Return the names that test modules of this folder give their cases."""
    files = Path(__file__).parent.glob("test_*.py")
    return {name for file in files for name in re.findall(pattern, file.read_text(encoding="utf-8"))}


def test_everything_that_is_registered_has_a_suite() -> None:
    tasks = {entry.name for entry in entry_points(group="anyfit.tasks")}
    for registered, pattern in (
        ({*families()}, r'get_family\(\s*"([\w-]+)"'),
        (tasks, r'TaskCase\(\s*"([\w-]+)"'),
        ({*runtime_names()}, r'RuntimeCase\(\s*"([\w-]+)"'),
    ):
        assert registered
        assert registered - _cases(pattern) == set()


@pytest.mark.parametrize("package", ["hypothesis", "pytest"])
def test_a_missing_package_costs_one_sentence(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NasError, match=rf"{package} is not installed; .*'anyfit\[testing\]'") as caught:
        importlib.reload(nas.testing)
    assert "\n" not in str(caught.value)
