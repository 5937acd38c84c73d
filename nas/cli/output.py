"""Where the words go: results on stdout, progress and logs on stderr; with `--json` exactly one object."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from nas import api
from nas.progress import Progress, ProgressFile, ProgressLines

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 140  # rich would fold tables at 80 columns when stdout is a pipe or a file


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


def emit_result(found: api.Result, as_json: bool) -> None:
    """Print a verb's result: with `as_json` its JSON object, else its tables and the remarks below them."""
    if as_json:
        emit_json(found)
        return
    console = result_console()
    for table in found.tables():
        console.print(table.to_rich())
    for remark in found.remarks:
        console.print(remark, soft_wrap=True, markup=False)


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


class _Shown(Progress):
    """Progress on stderr: a bar on a terminal, else lines now and then; whoever follows by a file is told too."""

    def __init__(self, announces: bool) -> None:
        self._file, self._lines = ProgressFile(), ProgressLines(log)
        self._announces, self._stage = announces, ""
        self._bars, self._task = (_bars() if sys.stderr.isatty() else None), None

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        is_new, self._stage = stage != self._stage, stage
        self._file.write(stage, done, total, note)
        if self._bars is None:
            if is_new and self._announces:
                log(f"{stage} ...")
            self._lines.write(stage, done, total, note)
            return
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task(stage, total=total or None, note=note)
        elif is_new:
            self._bars.reset(self._task, description=stage, total=total or None)
        self._bars.update(self._task, completed=done, total=total or None, note=note)

    def remark(self, text: str) -> None:
        log(text)  # rich keeps the bar below it

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()


def _bars() -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    texts = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
    return Progress(texts[0], *columns, texts[1], console=log_console(), transient=True)


@contextmanager
def shown_progress(announces: bool = True) -> Iterator[Progress]:
    """Yield what a verb takes as `progress`, shown on stderr.

    Without a terminal it is a line every ten seconds, and with `announces` one as each stage begins.
    """
    shown = _Shown(announces)
    try:
        yield shown
    finally:
        shown.stop()
