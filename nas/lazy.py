"""Doors of packages: a public name is imported when it is first used, from where the package's stub says it stands.

A package's `__init__.pyi` holds lines such as `from ._axis import Axis as Axis`: type checkers, editors and readers
take the names from there, and so does the door, so that each name is said once:

    from nas.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__, __file__)

Code that must stay light, or that would close a circle of imports, imports the door (`from nas import elastic`) and
says `elastic.Supernet` where it runs; all else imports names at the top of its file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose stub lies beside its `__init__.py`.

    Args:
        package: The package's `__name__`.
        file: Its `__file__`.

    Returns:
        What the package assigns to the three names. A name is looked up anew at each use: nothing is kept here. No
        name may be that of a submodule, which would hide it.
    """
    homes = {
        alias.asname or alias.name: (f"{package}." * statement.level + str(statement.module), alias.name)
        for statement in ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    public = sorted(homes)

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = homes[name]
        return getattr(import_module(module), attribute)

    return look_up, lambda: public, public
