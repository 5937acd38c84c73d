"""Packages whose names are imported when they are first used: a door that costs nothing to pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attributes(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` that finds its public names.

    Args:
        package: the package's `__name__`.
        places: the module that each name is in. No name may be that of a submodule, which would hide it.
    """

    def __getattr__(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name]), name)

    return __getattr__
