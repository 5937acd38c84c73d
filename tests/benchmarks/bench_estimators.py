"""Which estimator of a latency holds on a restless machine: many of them on the same recorded turns.

    python -m tests.benchmarks.bench_estimators [--seconds 60] [--model NAME]

Four subnets of a model and its two reference programs take turns in one process under ONNX Runtime, with one and two
threads, on the machine as it is and beside a neighbour; for two threads also with a thread pool for each program, and
with threads that do not spin. Each estimator is computed over windows of three seconds; results/estimators.csv holds
its spread from window to window (standard deviation over mean, in percent; median of the four programs), and on how many
of the windows it could be computed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._conditions import CONDITIONS, neighbour, write_rows

RESULTS = Path(__file__).with_name("results") / "estimators.csv"
WINDOW_S = 3.0
WAITED = 0.02
REFERENCES = ("smallest", "largest")
POOLS = ("shared pool", "own pools", "own pools, no spinning")


# --- recording, in a process of its own -------------------------------------------------------------------------------


def record(files: Mapping[str, str], threads: int, pool: str, seconds: float) -> list[dict[str, Any]]:
    """Run programs in turns for some seconds; return each turn's runs, waiting, processor time and switches."""
    import resource

    import onnxruntime

    from nas.latency.measuring.worker import _waited_ns
    from nas.latency.runtimes.onnxruntime import _noise

    os.sched_setaffinity(0, range(threads))
    if pool == POOLS[0]:
        onnxruntime.set_global_thread_pool_sizes(threads, 1)
    runs: dict[str, Callable[[], Any]] = {}
    for name, file in files.items():
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if pool == POOLS[0]:
            options.use_per_session_threads = False
        else:
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        if pool == POOLS[2]:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        feed = {value.name: _noise(value, 1) for value in session.get_inputs()}
        runs[name] = lambda session=session, feed=feed: session.run(None, feed)
    counts = {}
    for name, run in runs.items():
        run()
        start = time.perf_counter()
        run()
        counts[name] = int(np.clip(round(0.005 / (time.perf_counter() - start)), 3, 25))
    turns, end, shuffle = [], time.monotonic() + seconds, random.Random(0).shuffle
    while time.monotonic() < end:
        order = [*runs]
        shuffle(order)
        turn: dict[str, Any] = {"time": time.monotonic()}
        for name in order:
            runs[name]()
            runs[name]()
            waited, cpu = _waited_ns() or 0, time.process_time_ns()
            switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
            times = []
            for _ in range(counts[name]):
                begin = time.perf_counter_ns()
                runs[name]()
                times.append(time.perf_counter_ns() - begin)
            turn[name] = {
                "ms": [ns / 1e6 for ns in times],
                "cpu_ms": (time.process_time_ns() - cpu) / 1e6 / counts[name],
                "waited": ((_waited_ns() or 0) - waited) / sum(times),
                "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches,
            }
        turns.append(turn)
    return turns


# --- estimators -------------------------------------------------------------------------------------------------------


def estimators(turns: Sequence[Mapping[str, Any]], name: str) -> dict[str, Callable[[np.ndarray], float]]:
    """Return functions from positions of turns to an estimate of a program's latency, in ms or as a ratio."""
    median, least, cpu, waited, switches = (
        {
            key: np.array([read(turn[key]) for turn in turns])
            for key in (name, *REFERENCES)
        }
        for read in (
            lambda own: float(np.median(own["ms"])),
            lambda own: min(own["ms"]),
            lambda own: own["cpu_ms"],
            lambda own: own["waited"],
            lambda own: float(own["switches"]),
        )
    )  # fmt: skip
    reference = np.sqrt(median["smallest"] * median["largest"])
    both = [name, *REFERENCES]
    undisturbed = np.all([waited[key] <= WAITED for key in both], axis=0)
    unswitched = np.all([switches[key] == 0 for key in both], axis=0)
    sizes = np.log([np.quantile(median[key], 0.1) for key in REFERENCES])
    calm = np.all([median[key] <= 1.08 * np.quantile(median[key], 0.1) for key in REFERENCES], axis=0)
    paces = np.log([median[key] / np.quantile(median[key], 0.1) for key in REFERENCES])
    place = float(np.clip((np.log(np.quantile(median[name], 0.1)) - sizes[0]) / np.ptp(sizes), 0, 1))
    between = np.exp(paces[0] * (1 - place) + paces[1] * place)

    def over(values: np.ndarray, mask: np.ndarray | None = None) -> Callable[[np.ndarray], float]:
        def estimate(rows: np.ndarray) -> float:
            rows = rows if mask is None else rows[mask[rows]]
            return float(np.median(values[rows])) if len(rows) >= 3 else float("nan")

        return estimate

    return {
        "median": over(median[name]),
        "lower decile": lambda rows: float(np.quantile(median[name][rows], 0.1)),
        "minimum": lambda rows: float(least[name][rows].min()),
        "processor time": over(cpu[name]),
        "median, undisturbed turns": over(median[name], undisturbed),
        "ratio within a turn to the smallest": over(median[name] / median["smallest"]),
        "ratio within a turn to the largest": over(median[name] / median["largest"]),
        "ratio within a turn to both": over(median[name] / reference),
        "ratio of minima within a turn": over(least[name] / np.sqrt(least["smallest"] * least["largest"])),
        "ratio of processor times": over(cpu[name] / np.sqrt(cpu["smallest"] * cpu["largest"])),
        "over the interpolated pace": over(median[name] / between),
        "over the interpolated pace, undisturbed turns": over(median[name] / between, undisturbed),
        "over the interpolated pace, no context switch": over(median[name] / between, unswitched),
        "over the interpolated pace, undisturbed calm turns": over(
            median[name] / between, undisturbed & calm
        ),
    }


def spreads(turns: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each estimator's spread from window to window, the median over programs."""
    times = np.array([turn["time"] for turn in turns])
    window = ((times - times[0]) // WINDOW_S).astype(int)
    rows = [np.flatnonzero(window == number) for number in range(window.max())]
    found: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        for kind, estimate in estimators(turns, name).items():
            values = np.array([estimate(own) for own in rows])
            known = values[np.isfinite(values)]
            spread = 100 * float(known.std() / known.mean()) if len(known) > 1 else float("nan")
            found.setdefault(kind, []).append((spread, len(known) / len(rows)))
    return [
        {
            "estimator": kind,
            "spread_pct": round(float(np.median([spread for spread, _ in own])), 2),
            "windows": round(float(np.median([share for _, share in own])), 2),
        }
        for kind, own in found.items()
    ]


# --- the benchmark ----------------------------------------------------------------------------------------------------


def write_programs(model_name: str, folder: Path) -> dict[str, str]:
    """Write the reference programs and four subnets between them."""
    from nas.latency.measuring.measure import lower_subnet
    from nas.latency.profiles.profiling import choose_samples
    from nas.latency.runtimes import get_runtime
    from nas.models import load_model

    model, runtime = load_model(model_name), get_runtime("onnxruntime")
    codes = choose_samples(model, 40, 1)
    order = np.argsort(model.supernet.counts(codes)["macs"])
    chosen = dict(zip(REFERENCES, (order[0], order[-1]), strict=True))
    chosen |= {f"subnet {place}": order[place] for place in (4, 12, 24, 36)}
    return {
        name: str(
            lower_subnet(model, model.space.from_codes(codes[row]), runtime, folder / name.replace(" ", "-"))
        )
        for name, row in chosen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="mbv3-cifar10")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--record", nargs=3, metavar=("FILES", "THREADS", "POOL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.record:
        files, threads, pool = given.record
        json.dump(record(json.loads(files), int(threads), pool, given.seconds), sys.stdout)
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_programs(given.model, Path(folder))
        names = [name for name in files if name not in REFERENCES]
        for threads, pool, condition in product((1, 2), POOLS, CONDITIONS):
            if threads == 1 and pool != POOLS[0]:
                continue
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.bench_estimators",
                "--seconds",
                str(given.seconds),
            ]
            with neighbour(condition):
                done = subprocess.run(
                    [*command, "--record", json.dumps(files), str(threads), pool],
                    stdout=subprocess.PIPE, check=True,
                )  # fmt: skip
            for row in spreads(json.loads(done.stdout), names):
                rows.append({"threads": threads, "threads_of": pool, "condition": condition, **row})
            write_rows(given.output, rows)
            print(f"{threads} thread(s), {pool}, {condition}: done", file=sys.stderr, flush=True)
    for row in rows:
        print(
            f"{row['threads']} {row['threads_of']:<22} {row['condition']:<6} {row['estimator']:<50} "
            f"{row['spread_pct']:6.1f}% {row['windows']:5.0%}"
        )


if __name__ == "__main__":
    main()
