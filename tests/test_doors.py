"""The doors of packages: light, complete, and used instead of imports inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import nas
from nas.lazy import attach

ROOT = Path(nas.__file__).parent.parent
PACKAGES = ("nas", "gan_compress", "diffusion", "app")
CEILINGS = {"nas": 3, "gan_compress": 0, "diffusion": 2, "app": 1}
"""How many imports of our own code may stand inside functions, or be for type checkers alone: fewer are welcome."""
DOORS = sorted(
    ".".join(stub.relative_to(ROOT).parent.parts)
    for package in PACKAGES
    for stub in (ROOT / package).rglob("__init__.pyi")
)
_HEAVY = (
    "torch",
    "numpy",
    "optuna",
    "pandas",
    "sklearn",
    "timm",
    "rich",
    "onnx",
    "matplotlib",
    "pydantic",
    "diffusers",
)


def _own(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        return False
    return any(name.partition(".")[0] in PACKAGES for name in names)


def _inside(file: Path) -> list[str]:
    """Return the places of imports of our own code that do not stand at the top of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = [node for node in ast.walk(tree) if _own(node) and id(node) not in top]
    return [f"{file.relative_to(ROOT)}:{node.lineno}" for node in found if isinstance(node, ast.stmt)]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_stand_at_the_top(package: str) -> None:
    found = [place for file in sorted((ROOT / package).rglob("*.py")) for place in _inside(file)]
    assert len(found) <= CEILINGS[package], "\n".join(found)


def test_an_import_inside_a_function_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "module.py"
    file.write_text("import nas\nimport os\ndef f():\n    from nas.space import Subnet\n    import json\n")
    assert _inside(file) == ["module.py:4"]


@pytest.mark.parametrize("door", DOORS)
def test_a_door_has_what_its_stub_says(door: str) -> None:
    module = import_module(door)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'nothing'"):
        _ = module.nothing
    submodules = {file.stem for file in Path(module.__file__ or "").parent.glob("*.py")}
    shadowed = [
        name
        for name in module.__all__
        if name in submodules and isinstance(getattr(module, name), ModuleType)
    ]
    assert shadowed == [], "a submodule of that name hides what the door means"


def test_all_doors_are_light() -> None:
    code = f"import sys, {', '.join(DOORS)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*_HEAVY, "click"}


@pytest.mark.parametrize(
    "module",
    [
        "nas.train.classifiers.objective",
        "nas.train.trainer",
        "nas.tasks.classification",
        "nas.search.testbed.measured_table",
    ],
)
def test_training_needs_no_optuna_and_no_streamlit(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert "torch" in found
    assert not found & {"optuna", "streamlit", "onnx", "onnxruntime", "matplotlib", "fvcore", "timm"}


def test_a_door_looks_names_up_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "doored"
    package.mkdir()
    (package / "__init__.pyi").write_text("from ._home import answer as answer, answer as other\n")
    (package / "__init__.py").write_text(
        "from nas.lazy import attach\n__getattr__, __dir__, __all__ = attach(__name__, __file__)\n"
    )
    (package / "_home.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    doored = import_module("doored")
    assert "doored._home" not in sys.modules
    assert doored.answer == doored.other == 42
    monkeypatch.setattr("doored._home.answer", 43)
    assert doored.answer == 43
    assert doored.__all__ == ["answer", "other"]
    look_up, _, public = attach("doored", doored.__file__ or "")
    assert look_up("answer") == 43 and public == ["answer", "other"]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
