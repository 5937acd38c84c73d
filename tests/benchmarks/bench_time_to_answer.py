"""Seconds from the command to the answer: `nas search` with nothing cached, then with the profile, and `nas --help`.

    python -m tests.benchmarks.bench_time_to_answer [--model NAME] [--repeats 3] [--output FILE]

The budget lies halfway (in ratio) between the smallest and the largest subnet's latency, so that it binds. Every
command is a process of its own, Python's start included.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.workload import default_threads

RESULTS = Path(__file__).with_name("results") / "time_to_answer.csv"
_HELPS = 5


def run(cache: Path, *args: str) -> tuple[float, int, str]:
    """Run `nas` in a process of its own with its own cache; return seconds, exit code and standard output."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nas", *args],
        env={**os.environ, "ANYFIT_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode not in (0, 3):
        sys.exit(f"nas {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return seconds, done.returncode, done.stdout


def search(
    cache: Path, run_dir: Path, given: argparse.Namespace, latency: str
) -> tuple[float, dict[str, Any]]:
    """Search once; return the seconds and the JSON answer."""
    args = ["--model", given.model, "--threads", str(given.threads), "--latency", latency]
    seconds, _, out = run(cache, "search", *args, "--run-dir", str(run_dir), "--json")
    return seconds, json.loads(out)


def measure(given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Time everything once or more, in the order in which a new user meets it."""
    cache = folder / "cache"
    rows: list[dict[str, Any]] = []

    def add(what: str, seconds: float, answer: dict[str, Any] | None = None, latency: str = "") -> None:
        answered = "" if answer is None else answer["answer"] is not None
        rows.append({"what": what, "seconds": f"{seconds:.2f}", "budget": latency, "answered": answered})
        print(f"{what}: {seconds:.2f} s", file=sys.stderr)

    for _ in range(_HELPS):
        add("nas --help", run(cache, "--help")[0])
    # A budget below everything is refused after measuring the two ends: they tell a budget that binds.
    seconds, refused = search(cache, folder / "refused", given, "1us")
    add("nas search, infeasible, nothing cached", seconds, refused, "1us")
    ends = refused["smallest_latency_ms"], refused["largest_latency_ms"]
    latency = f"{(ends[0] * ends[1]) ** 0.5:.3g}ms"
    if list((cache / "profiles").glob("*.json")):
        sys.exit("the refused search left a profile behind, so the next one would not be cold")
    add("nas search, nothing cached", *search(cache, folder / "cold", given, latency), latency)
    for number in range(given.repeats):
        add("nas search, profile cached", *search(cache, folder / f"warm{number}", given, latency), latency)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mbv3-cifar10")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given, Path(folder))
    facts = {
        "threads": given.threads,
        "machine": str(machine_fingerprint()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "onnxruntime", "anyfit")},
    }
    rows = [{**row, **facts} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(given.output, text.getvalue())
    for row in rows:
        print(f"{row['what']:<40} {row['seconds']:>7} s")


if __name__ == "__main__":
    main()
