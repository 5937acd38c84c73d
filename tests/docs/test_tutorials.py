"""The tutorials run as they are printed: every block of every page, in order, in a folder that is empty at first.

A comment before a block says what is special: `<!-- not run: WHY -->` for what needs another machine or never ends,
`<!-- slow: WHY -->` for what takes minutes (it runs where ANYFIT_SLOW_TUTORIALS is set), `<!-- may refuse: WHY -->` for a
command that may end with exit code 1. Commands that are left out have at least to be spelled right.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
PAGES = ("first-search", "own-data", "notebook", "preview", "pipeline", "deploy", "family")
AFTER = {"deploy": "first-search"}
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run|slow|may refuse): (?P<why>[^\n]+) -->\n)?"
    r'```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: `title` is the file that holds it, `mark` what the comment before it says."""

    language: str
    text: str
    title: str
    mark: str

    @property
    def runs(self) -> bool:
        slow = self.mark == "slow" and "ANYFIT_SLOW_TUTORIALS" not in os.environ
        return self.mark != "not run" and not slow

    @property
    def commands(self) -> list[list[str]]:
        """The lines of a shell block, as words."""
        assert self.language == "bash", self.language
        return [shlex.split(line, comments=True) for line in self.text.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], each["text"], each["title"] or "", each["mark"] or "") for each in found]


class Reader:
    """Someone who follows pages in one folder; a page is followed once, after the page that it goes on from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: set[str] = set()

    def follow(self, name: str) -> None:
        if name in self._done:
            return
        if name in AFTER:
            self.follow(AFTER[name])
        # Blocks of one page share their names, as the cells of a notebook do.
        module = types.ModuleType("__main__")
        for block in blocks(FOLDER / f"{name}.md"):
            if block.title:
                (self.folder / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                exec(compile(block.text, f"{name}.md", "exec"), vars(module))
            elif block.runs:
                for words in block.commands:
                    self._command(words, block)
        self._done.add(name)

    def _command(self, words: list[str], block: Block) -> None:
        if words[0] == "nas":  # in this process: starting one costs as long as most of these commands
            from nas.cli._main import run

            code: Any = run(words[1:])
        elif words[0] == "python":
            code = subprocess.run([sys.executable, "-c", WITHOUT, *words[1:]], cwd=self.folder).returncode
        else:
            code = subprocess.run(words, cwd=self.folder).returncode
        assert code in ((0, 1) if block.mark == "may refuse" else (0,)), (words, code)


# Runs a program where neither torch nor anyfit can be imported.
WITHOUT = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "nas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder, before, path = tmp_path_factory.mktemp("reader"), Path.cwd(), [*sys.path]
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    yield Reader(folder)
    os.chdir(before)
    sys.path[:] = path
    sys.modules.pop("plainnet", None)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_is_printed(page: str, reader: Reader) -> None:
    reader.follow(page)


EXTENDING = sorted(path.stem for path in (ROOT / "docs" / "extend").glob("*.md"))


@pytest.mark.parametrize("page", EXTENDING)
def test_code_of_the_guides_to_extending_runs(page: str) -> None:
    module = types.ModuleType("__main__")
    for block in blocks(ROOT / "docs" / "extend" / f"{page}.md"):
        assert block.language == "python", "only Python is run on these pages"
        exec(compile(block.text, f"{page}.md", "exec"), vars(module))


def test_every_page_is_followed() -> None:
    assert {*PAGES, "index"} == {path.stem for path in FOLDER.glob("*.md")}


def test_every_fence_is_understood() -> None:
    for page in FOLDER.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text.count("\n```") == 2 * len(blocks(page)), page
        assert text.count("<!--") == sum(bool(block.mark) for block in blocks(page)), page


def left_out() -> list[list[str]]:
    pages = [
        *FOLDER.glob("*.md"),
        *(ROOT / "docs" / "guides").glob("*.md"),
        ROOT / "docs" / "index.md",
        ROOT / "README.md",
    ]
    lines: list[list[str]] = []
    for page in pages:
        for block in blocks(page):
            if block.language == "console":
                lines += [
                    shlex.split(line[2:], comments=True)
                    for line in block.text.splitlines()
                    if line[:2] == "$ "
                ]
            elif block.language == "bash" and block.mark:
                lines += block.commands
    return [words for words in lines if words[0] == "nas"]


def test_commands_that_are_not_run_are_spelled_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.cli import cli

    monkeypatch.chdir(tmp_path)
    found = left_out()
    assert len(found) >= 20
    for words in found:
        parse(cli, words)


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line without running it: every option has to be one, with a value that it takes."""
    context: click.Context | None = None
    while isinstance(command, click.Group):
        rest = words[1:]
        if not rest:
            return
        context = click.Context(command, parent=context, info_name=words[0])
        found = command.get_command(context, rest[0])
        assert found is not None, words
        command, words = found, rest
    parser = command.make_parser(click.Context(command, parent=context, info_name=words[0]))
    parser.parse_args([word for word in words[1:] if word != "..."])
