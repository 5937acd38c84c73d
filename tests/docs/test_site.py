"""The documentation builds strictly, and its reference has every command and every public name."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a broken link, anchor or reference fails the build."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the extra docs is not installed: pip install 'anyfit[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def headings(page: Path) -> list[str]:
    """Return the texts of a page's headings."""
    found = re.findall(r"<h[1-6][^>]*>(.*?)</h[1-6]>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", "", text)).replace("¶", "").split()) for text in found]


def commands(group: click.Group, prefix: str) -> list[str]:
    context = click.Context(group, info_name=prefix)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += commands(command, f"{prefix} {name}")
        else:
            found.append(f"{prefix} {name}")
    return found


def test_every_command_is_in_the_reference(site: Path) -> None:
    from nas.cli import cli

    known = [
        text
        for name in ("commands", "gan", "diffusion")
        for text in headings(site / "reference" / f"{name}.html")
    ]
    assert [name for name in commands(cli, "nas") if name not in known] == []


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import nas

    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in nas.__all__ if name != "__version__" and f'id="nas.{name}"' not in text] == []


def test_pages_ask_nothing_of_other_machines(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert (
            re.findall(r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(?:https?:)?//[^"]+"', text)
            == []
        ), page


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_beside_the_code_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    places = [place for place in re.findall(r"\]\(([^)#]+)", text) if "://" not in place]
    assert [place for place in places if not (ROOT / place).exists()] == []
