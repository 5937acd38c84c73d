"""Where the words go: results on stdout, progress and logs on stderr; with `--json` exactly one object."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 140  # rich would fold tables at 80 columns when stdout is a pipe or a file


class Advance(Protocol):
    """Report progress: `done` of `total` steps, with a short note such as the best value so far."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def _plain(value: Any) -> Any:
    """Turn NumPy values, paths and objects with `to_dict` into what JSON knows; not-a-number is null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | Set):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    for convert in ("to_dict", "tolist", "item"):
        if hasattr(value, convert):
            return _plain(getattr(value, convert)())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def emit_json(value: Any) -> None:
    """Print `value` as the command's one JSON object on stdout."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _console(stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def result_console() -> Console:
    """Return a rich console on stdout, for tables and answers."""
    return _console(stderr=False)


def log_console() -> Console:
    """Return a rich console on stderr, for progress and remarks."""
    return _console(stderr=True)


def log(text: str) -> None:
    """Print one remark on stderr."""
    click.echo(text, err=True)


@contextmanager
def progress_bar(label: str) -> Iterator[Advance]:
    """Yield `advance(done, total, note="")`, which draws a bar on stderr; without a terminal, lines now and then.

    Whoever follows by a file is told too (`nas.progress`).
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nas.progress import ProgressFile, ProgressLines

    told, lines, is_terminal = ProgressFile(), ProgressLines(log), sys.stderr.isatty()

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=log_console(), transient=True, disable=not is_terminal) as bar:
        task = bar.add_task(label, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)
            if not is_terminal:
                lines.write(label, done, total, note)
            told.write(label, done, total, note)

        if not is_terminal:
            lines.write(label, 0, 0)

        told.write(label, 0, 0)
        yield advance
