"""What MkDocs asks while it builds the site: pages and pictures from elsewhere in the repository, and the commands.

The commands' pages are made here and not by mkdocs-click: that one (0.9) runs the lines of examples together, and shows
a default that click 8.5 does not have.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PICTURES = ("tests/benchmarks/results", "tests/app/pictures")
PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
COMMANDS = re.compile(r"^::: commands (nas[\w ]*)$", flags=re.MULTILINE)
WIDTH = 88


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every measured picture as pictures/NAME, and the pages that everybody looks for beside the code."""
    for folder in PICTURES:
        for path in sorted((ROOT / folder).glob("*.png")):
            files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    for page, name in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of a group's commands where a page says `::: commands nas gan`."""
    return COMMANDS.sub(lambda found: "\n".join(group_help(found[1])), markdown)


def group_help(path: str) -> Iterator[str]:
    """Describe every command of a group but those that are groups themselves, which have pages of their own."""
    from nas.cli import cli

    group, context = cli, click.Context(cli, info_name="nas", **cli.context_settings)
    for name in path.split()[1:]:
        found = group.get_command(context, name)
        assert isinstance(found, click.Group), path
        group, context = found, click.Context(found, parent=context, info_name=name)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not isinstance(command, click.Group):
            yield from command_help(command, click.Context(command, parent=context, info_name=name))


def command_help(command: click.Command, context: click.Context) -> Iterator[str]:
    """Describe one command: its help, with examples as code, its usage, and its options as `--help` prints them."""
    yield f"## {context.command_path}\n"
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield f"```text\n{inspect.cleandoc(chr(10).join(lines[1:]))}\n```\n"
        else:
            yield paragraph.replace("<", "&lt;") + "\n"
    formatter = click.HelpFormatter(width=WIDTH)
    command.format_usage(context, formatter)
    command.format_options(context, formatter)
    yield f"```text\n{formatter.getvalue().strip()}\n```\n"
