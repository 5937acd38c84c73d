"""Every extra that a message or a page tells to install is one that the package has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def named() -> list[tuple[str, str]]:
    """Return (file, extra) of everything like anyfit[extra] in code and pages."""
    files = [ROOT / "pyproject.toml", ROOT / "Makefile", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for package in ("nas", "gan_compress", "diffusion", "app"):
        files += [path for kind in ("py", "md") for path in (ROOT / package).rglob(f"*.{kind}")]
    return [
        (str(path.relative_to(ROOT)), extra.strip())
        for path in files
        for group in re.findall(r"anyfit\[([a-z][\w, -]*)\]", path.read_text(encoding="utf-8"))
        for extra in group.split(",")
    ]


def test_every_extra_that_is_named_exists() -> None:
    found = named()
    assert {"README.md", "docs/guides/install.md", "pyproject.toml"} <= {file for file, _ in found}
    assert [(file, extra) for file, extra in found if extra not in extras()] == []


def test_every_extra_that_a_sentence_is_made_of_exists() -> None:
    from nas._extras import PACKAGES
    from nas.latency.runtimes import get_runtime, runtime_names

    runtimes = {get_runtime(name).extra for name in runtime_names()} - {""}
    assert runtimes | set(PACKAGES.values()) <= extras()
