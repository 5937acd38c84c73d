"""Which file imports which: no circles, folders of at most a dozen modules, public names of `nas` alone above it.

Every import counts, also those inside functions and under `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "gan_compress", "diffusion", "app")
MOST_MODULES = 12
IMPORTS_IN_FUNCTIONS = {"diffusion": 2, "gan_compress": 0}
"""Imports of own code inside functions, at most."""


class Import(NamedTuple):
    """An import: the module that has it, what it names, the module that is meant, and whether a function has it."""

    importer: str
    module: str
    name: str
    target: str
    in_function: bool


@cache
def modules() -> Mapping[str, Path]:
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for name, file in modules().items() for found in _imports(name, file))


def _imports(importer: str, file: Path) -> Iterator[Import]:
    known = modules()
    for module, name, in_function in _named(ast.parse(file.read_text(encoding="utf-8")), False):
        target = f"{module}.{name}" if f"{module}.{name}" in known else module
        if target in known and target != importer:
            yield Import(importer, module, name, target, in_function)


def _named(node: ast.AST, in_function: bool) -> Iterator[tuple[str, str, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import):
            yield from ((alias.name, "", inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield from ((child.module or "", alias.name, inside) for alias in child.names)
        yield from _named(child, inside)


def circles(edges: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972)."""
    graph: dict[str, list[str]] = {}
    for start, end in edges:
        graph.setdefault(start, []).append(end)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                found.append(set(stack[start:]))
            del stack[start:]

    for node in graph:
        if node not in order:
            visit(node)
    return found


def folder_of(module: str) -> str:
    """Return the package that a module stands in; a module beside the packages (`nas.errors`) is a room of its own."""
    alone = module.count(".") < 2 or modules()[module].name == "__init__.py"
    return module if alone else module.rpartition(".")[0]


def test_circles_are_found():
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")]) == [{"a", "b", "c"}]
    assert circles([("a", "b"), ("a", "c"), ("b", "c")]) == []


def test_no_circle_of_files():
    found = circles((each.importer, each.target) for each in imports())
    assert found == [], "a type or function that both need stands in a file of its own"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_folders(package):
    edges = {
        (folder_of(each.importer), folder_of(each.target))
        for each in imports()
        if each.importer.partition(".")[0] == package == each.target.partition(".")[0]
    }
    assert circles(edge for edge in edges if edge[0] != edge[1]) == []


def test_folders_have_at_most_a_dozen_modules():
    count = Counter(
        str(file.parent.relative_to(ROOT)) for file in modules().values() if file.name != "__init__.py"
    )
    large = {folder: number for folder, number in count.items() if number > MOST_MODULES}
    assert large == {}, "make rooms of it"


def test_packages_above_nas_use_its_public_names_alone():
    private = [
        f"{each.importer}: {each.module} {each.name}"
        for each in imports()
        if not each.importer.startswith("nas")
        and each.module.partition(".")[0] == "nas"
        # `nas.__version__` is public.
        and any(
            word.startswith("_") and not word.endswith("__") for word in (*each.module.split("."), each.name)
        )
    ]
    assert private == [], "export the name from the public module that it belongs to"


@pytest.mark.parametrize("package", sorted(IMPORTS_IN_FUNCTIONS))
def test_imports_stand_at_the_top(package):
    found = [
        f"{each.importer}: {each.module} {each.name}"
        for each in imports()
        if each.in_function and each.importer.partition(".")[0] == package
    ]
    assert len(found) <= IMPORTS_IN_FUNCTIONS[package], found
