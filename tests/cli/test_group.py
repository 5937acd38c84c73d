"""The command group is light: its help and its completion import no command."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

import nas
from nas.cli.group import COMMANDS

_HEAVY = {"torch", "optuna", "pandas", "sklearn", "timm", "numpy", "rich", "onnx", "matplotlib"}
_LIST_MODULES = """
import json, sys
from nas.cli._main import run
code = run(sys.argv[1:])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""
_HELP_OF_ALL = """
import json, sys
from nas.cli.group import COMMANDS
from nas.cli._main import run
imported = {}
for name in COMMANDS:
    assert run([name, "--help"]) == 0, name
    imported[name] = [module for module in sys.modules if "." not in module]
print(json.dumps(imported), file=sys.stderr)
"""


def _imported_by(*args: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _LIST_MODULES, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["--version"], ["completion", "zsh"]])
def test_light_commands_import_only_click(args: list[str]) -> None:
    modules = _imported_by(*args)
    assert "click" in modules
    assert not modules & _HEAVY


def test_importing_nas_imports_nothing_heavy() -> None:
    code = "import nas, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (_HEAVY | {"click"})


def test_help_lists_every_command(nas_run) -> None:
    outcome = nas_run("--help")
    assert outcome.code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in outcome.stdout] == []


def test_every_command_has_a_module_of_its_own() -> None:
    assert [module for module, _ in COMMANDS.values() if find_spec(module) is None] == []


def test_help_of_every_command_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _HELP_OF_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {name: _HEAVY & set(modules) for name, modules in json.loads(done.stderr).items()}
    assert imported == {name: set() for name in COMMANDS}


def test_version_is_that_of_the_package(nas_run) -> None:
    assert nas_run("--version").stdout == f"nas {nas.__version__} (anyfit)\n"


def test_unknown_attribute_of_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = nas.laod  # pyright: ignore[reportAttributeAccessIssue]


def test_public_names_are_listed() -> None:
    assert dir(nas) == sorted(nas.__all__)
    assert {"Model", "SearchResult", "__version__", "compare", "load"} <= set(nas.__all__)
    assert all(getattr(nas, name) is not None for name in nas.__all__)


def test_unknown_command_names_the_nearest(nas_run) -> None:
    outcome = nas_run("serach")
    assert outcome.code == 2
    assert outcome.stderr == (
        "nas: error: there is no command 'serach' (did you mean 'search'?) (see 'nas --help')\n"
    )


def test_unknown_command_like_none(nas_run) -> None:
    outcome = nas_run("xyzzy")
    assert outcome.code == 2
    assert "there is no command 'xyzzy'" in outcome.stderr
    assert "did you mean" not in outcome.stderr


def test_no_command_shows_the_help(nas_run) -> None:
    outcome = nas_run()
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert "Commands:" in outcome.stderr


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nas", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"nas {nas.__version__} (anyfit)\n"
