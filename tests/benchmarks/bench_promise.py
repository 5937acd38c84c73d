"""Is the promise kept: answers at budgets that bind, on an idle machine and beside a neighbour, measured once more.

    python -m tests.benchmarks.bench_promise [--searches 100] [--threads 1 2] [--model NAME ...]

Each search is a fresh `nas search` with a cached profile: three models, four budgets, one and two threads, half of them
beside a process that keeps one core busy in bursts. Afterwards the very model.onnx of each run folder is measured once
more, in a fresh process, under the same condition. A measurement that says itself that the machine is too restless to
tell is repeated, at most twice; the last one counts. Results go to results/promise.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._conditions import CONDITIONS, alone, neighbour, write_rows

RESULTS = Path(__file__).with_name("results") / "promise.csv"
MODELS = ("mbv3-cifar10", "anycost-digits", "deblur-cifar10")
SHARES = {"tight": 0.1, "small": 0.3, "middle": 0.55, "large": 0.8}
THREADS = (1, 2)
TRIES = 3


def search(model: str, latency_ms: float, seed: int, threads: int, run: Path) -> tuple[dict[str, Any], float]:
    """Run `nas search` in a process of its own; return what it printed and the seconds it took."""
    command = [sys.executable, "-m", "nas", "search", "--model", model, "--latency", f"{latency_ms:.6g}ms"]
    command += ["--seed", str(seed), "--threads", str(threads), "--run-dir", str(run), "--json"]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    seconds = time.monotonic() - start
    if done.returncode not in (0, 3):
        sys.exit(f"nas search ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout), seconds


def measure_again(model: str, program: Path, threads: int) -> Any:
    """Measure a program in a fresh process, beside the model's reference programs."""
    from nas.latency.measuring.measure import measure
    from nas.latency.measuring.reference import open_references
    from nas.latency.runtimes import get_runtime
    from nas.latency.workload import Workload
    from nas.models import load_model

    runtime, workload = get_runtime("onnxruntime"), Workload(threads=threads)
    references = open_references(load_model(model).family, runtime, workload)
    found = None
    for _ in range(TRIES):
        if found is None or found.is_restless:
            found = measure({"": program}, runtime, workload, references=references)[""]
    return found


def budgets(model: str, threads: int, folder: Path) -> dict[str, float]:
    """Return latencies between the smallest and the largest subnet's, evenly in ratio; profiles the machine if needed."""
    everything, _ = search(model, 1e6, 0, threads, folder / f"everything-{model}-{threads}")
    low, high = everything["smallest_latency_ms"], everything["largest_latency_ms"]
    return {name: float(f"{low * (high / low) ** share:.3g}") for name, share in SHARES.items()}


def once(
    model: str, budget: str, limit: float, threads: int, condition: str, seed: int, run: Path
) -> dict[str, Any]:
    """Search and measure again; return a row."""
    with alone(), neighbour(condition):
        found, seconds = search(model, limit, seed, threads, run)
        answer = found["answer"]
        again = None if answer is None else measure_again(model, run / "model.onnx", threads)
    row: dict[str, Any] = {
        "model": model, "threads": threads, "condition": condition, "budget": budget, "budget_ms": limit,
        "seed": seed, "answered": answer is not None,
    }  # fmt: skip
    latency: dict[str, Any] = {} if answer is None else answer["latency_ms"]
    for name in ("predicted", "measured", "raw"):
        row[f"{name}_ms"] = round(latency[name], 4) if latency else None
    row |= {
        "quality": None if answer is None else round(answer["quality"]["value"], 4),
        "restless": None if answer is None else answer["restless"],
        "again_ms": None if again is None else round(again.median_ms, 4),
        "again_raw_ms": None if again is None else round(again.raw_median_ms, 4),
        "again_restless": None if again is None else again.is_restless,
        "kept": again is not None and again.median_ms <= limit,
        "seconds": round(seconds, 1),
    }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", default=None)
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    models, counts = given.model or MODELS, tuple[int, ...](given.threads)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        with alone():
            limits = {(m, t): budgets(m, t, Path(folder)) for m, t in product(models, counts)}
        cases = list(product(range(given.searches), SHARES, models, counts, CONDITIONS))[: given.searches]
        for number, (seed, budget, model, threads, condition) in enumerate(cases):
            limit = limits[model, threads][budget]
            rows.append(once(model, budget, limit, threads, condition, seed, Path(folder, str(number))))
            print(rows[-1], file=sys.stderr, flush=True)
            write_rows(given.output, rows)
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    """Print how often the promise was kept, by threads and condition."""
    for threads, condition in product(THREADS, CONDITIONS):
        own = [row for row in rows if (row["threads"], row["condition"]) == (threads, condition)]
        if not own:
            continue
        seconds = [row["seconds"] for row in own]
        use = [row["again_ms"] / row["budget_ms"] for row in own if row["answered"]]
        print(
            f"{threads} thread(s), {condition}: answered {sum(row['answered'] for row in own)} of {len(own)}, "
            f"kept {sum(row['kept'] for row in own)}; uses {np.median(use):.3f} of the budget (most {max(use):.3f}); "
            f"seconds: median {np.median(seconds):.1f}, most {max(seconds):.1f}"
        )


if __name__ == "__main__":
    main()
