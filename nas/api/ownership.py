"""Are the imported packages ours? `nas`, `app` and `diffusion` are also names of other people's packages."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

import nas
from nas.api.diagnosis import Check, distribution

PACKAGES = ("nas", "gan_compress", "diffusion", "app")
_HINT = "use a fresh environment with nothing but anyfit, and run from another folder"


def check_ownership(packages: tuple[str, ...] = PACKAGES) -> Iterator[Check]:
    """Look up, without importing, what each of our package names would import, and compare it with ours."""
    installed = distribution()
    for name in packages:
        path = _would_import(name)
        if path is None:
            yield Check(name, "not found", f"the package {name} of anyfit is missing", _HINT)
        elif _is_ours(name, path, installed):
            yield Check(name, f"ours ({path.parent})")
        else:
            yield Check(name, str(path), f"{path} is another package than the {name} of anyfit", _HINT)


def _would_import(name: str) -> Path | None:
    """Return the file of the package that `import name` finds; a folder without code counts as itself."""
    spec = PathFinder.find_spec(name, sys.path)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).resolve()
    return Path(next(iter(spec.submodule_search_locations or [name]))).resolve()


def _is_ours(name: str, path: Path, installed: metadata.Distribution | None) -> bool:
    """A wheel records every file's hash; an editable install or source tree has its packages side by side."""
    record = [file for file in (installed.files if installed else None) or () if file.parts[0] == name]
    if not record:
        return path == Path(nas.__file__).resolve().parents[1] / name / "__init__.py"
    return any(_recorded(file, path) for file in record if file.name == path.name)


def _recorded(file: metadata.PackagePath, path: Path) -> bool:
    if Path(str(file.locate())).resolve() != path:
        return False
    if file.hash is None:
        return True
    digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value
