"""What benchmarks of latencies share: a neighbour that keeps a core busy in bursts, machines in a row, CSV files."""

from __future__ import annotations

import csv
import io
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None

CONDITIONS = ("idle", "bursts")
_NEIGHBOUR = """
import random, time
rng = random.Random(0)
while True:
    end = time.monotonic() + rng.uniform(0.2, 3.0)
    while time.monotonic() < end:
        sum(range(1000))
    time.sleep(rng.uniform(0.2, 3.0))
"""


@contextmanager
def neighbour(condition: str) -> Iterator[None]:
    """Keep one core busy in bursts of 0.2 to 3 seconds with breaks as long, where `condition` is "bursts"."""
    if condition == "idle":
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", _NEIGHBOUR])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def alone() -> Iterator[None]:
    """Let benchmarks that run at the same time measure one after the other, where the system has file locks."""
    with open(Path(tempfile.gettempdir()) / "anyfit-benchmarks.lock", "w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def facts() -> dict[str, str]:
    """Return the machine and the versions that stand in every row."""
    own = {name: version(name) for name in ("torch", "onnxruntime", "anyfit")}
    return {"machine": str(machine_fingerprint()), "python": platform.python_version(), **own}


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal columns as CSV, with the machine and the versions."""
    text = io.StringIO()
    own: dict[str, Any] = facts()
    writer = csv.DictWriter(text, [*rows[0], *own], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **own} for row in rows)
    write_atomic(path, text.getvalue())
