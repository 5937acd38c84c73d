"""Sequences of programs: which files make an output, in which order, how often and on how many inputs each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nas.errors import NasError
from nas.files import read_json
from nas.latency.workload import Workload

FORMAT, FORMAT_VERSION = "anyfit-sequence", 1
SUFFIX = ".sequence"

Run = Callable[[], object]


def read_sequence(path: Path) -> list[tuple[Path, int, int]]:
    """Return (file, times, batch) of every run; raises `NasError` for a damaged file."""
    value = read_json(path)
    try:
        if (value["format"], value["version"]) != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"its format is {value['format']} {value['version']}")
        return [(path.parent / run["program"], int(run["times"]), int(run["batch"])) for run in value["runs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise NasError(
            f"{path} is no sequence of programs of version {FORMAT_VERSION} ({error!r}); make it again"
        ) from error


Opened = dict[tuple[Path, int], Run]
"""Programs that are open, by file and batch size."""


def open_sequence(
    path: Path, workload: Workload, load: Callable[[Path, Workload], Run], opened: Opened | None = None
) -> Run:
    """Return what runs a sequence once, from beginning to end; `load` opens its programs, each once a batch size.

    What other sequences have `opened` is not opened again.
    """
    opened = {} if opened is None else opened
    runs: list[Run] = []
    for file, times, batch in read_sequence(path):
        key = (file, workload.batch_size * batch)
        if key not in opened:
            opened[key] = load(file, replace(workload, batch_size=workload.batch_size * batch))
        runs += [opened[key]] * times

    def run() -> None:
        for program in runs:
            program()

    return run
