"""Is the promise kept: answers at budgets that bind, measured again in processes of their own; and the time to an answer.

    python -m tests.benchmarks.bench_promise [--model NAME] [--seeds 10]

Each search is a fresh `nas search` with a cached profile, at a small, a middle and a large budget. Afterwards the very
model.onnx of each run folder is measured once more, in a fresh process. Results go to results/promise.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from nas._files import write_atomic

RESULTS = Path(__file__).with_name("results") / "promise.csv"
SHARES = {"small": 0.2, "middle": 0.5, "large": 0.8}


def search(model: str, latency_ms: float, seed: int, threads: int, run: Path) -> tuple[dict[str, Any], float]:
    """Run `nas search` in a process of its own; return what it printed and the seconds it took."""
    command = [sys.executable, "-m", "nas", "search", "--model", model, "--latency", f"{latency_ms:.6g}ms"]
    command += ["--seed", str(seed), "--threads", str(threads), "--run-dir", str(run), "--json"]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    seconds = time.monotonic() - start
    if done.returncode not in (0, 3):
        sys.exit(f"nas search ended with {done.returncode}")
    return json.loads(done.stdout), seconds


def measure_again(program: Path, threads: int) -> float:
    """Return the median latency (ms) of a program in a fresh process."""
    from nas.latency.measure import measure
    from nas.latency.runtimes import get_runtime
    from nas.latency.workload import Workload

    return measure({"answer": program}, get_runtime("onnxruntime"), Workload(threads=threads))[
        "answer"
    ].median_ms


def budgets(model: str, threads: int, folder: Path) -> dict[str, float]:
    """Return latencies between the smallest and the largest subnet's, evenly in ratio; profiles the machine if needed."""
    everything, _ = search(model, 1e6, 0, threads, folder / "everything")
    low, high = everything["smallest_latency_ms"], everything["largest_latency_ms"]
    return {name: float(f"{low * (high / low) ** share:.3g}") for name, share in SHARES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mbv3-cifar10")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, latency_ms in budgets(given.model, given.threads, Path(folder)).items():
            for seed in range(given.seeds):
                run = Path(folder, f"{name}-{seed}")
                found, seconds = search(given.model, latency_ms, seed, given.threads, run)
                answer = found["answer"]
                again = None if answer is None else measure_again(run / "model.onnx", given.threads)
                rows.append(
                    {
                        "budget": name,
                        "budget_ms": latency_ms,
                        "seed": seed,
                        "top1": None if answer is None else round(answer["quality"]["value"], 3),
                        "predicted_ms": None
                        if answer is None
                        else round(answer["latency_ms"]["predicted"], 4),
                        "measured_ms": None if answer is None else round(answer["latency_ms"]["measured"], 4),
                        "measured_again_ms": None if again is None else round(again, 4),
                        "kept": again is not None and again <= latency_ms,
                        "seconds": round(seconds, 1),
                    }
                )
                print(rows[-1], file=sys.stderr)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(given.output, text.getvalue())
    print(f"kept in a fresh process: {sum(bool(row['kept']) for row in rows)} of {len(rows)}")
    print(f"seconds to the answer: median {np.median([float(str(row['seconds'])) for row in rows]):.1f}")


if __name__ == "__main__":
    main()
