"""Does a latency mean the same today and tomorrow: the same programs measured again and again over an hour.

    python -m tests.benchmarks.bench_repeatability [--minutes 60] [--every 120] [--model NAME]

Every so many seconds three subnets of a model are measured in a fresh process with one and with two threads, on the
machine as it is and beside a process that keeps one core busy in bursts. The CSV holds every measurement, calm and raw;
printed is the spread (standard deviation over mean) of each.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._conditions import CONDITIONS, alone, neighbour, write_rows

RESULTS = Path(__file__).with_name("results") / "repeatability.csv"
THREADS = (1, 2)
PROGRAMS = ("small", "middle", "large")


def programs(name: str) -> tuple[Any, list[Any]]:
    """Return a model and three of its subnets, by their share of all MACs: neither is a reference program."""
    from nas.latency.profiles.profiling import choose_samples
    from nas.models import load_model

    model = load_model(name)
    codes = choose_samples(model, 40, 1)
    order = np.argsort(model.supernet.counts(codes)["macs"])
    return model, [model.space.from_codes(codes[order[place]]) for place in (5, 20, 35)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=120.0)
    parser.add_argument("--model", default="mbv3-cifar10")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    from nas.latency.measuring.measure import TurnPlan, measure_subnets
    from nas.latency.workload import Workload

    model, subnets = programs(given.model)
    start, rows = time.monotonic(), []
    plan = TurnPlan(budget_s=0.5 + 0.2 * len(subnets))
    while (now := time.monotonic() - start) < 60 * given.minutes:
        for threads, condition in product(THREADS, CONDITIONS):
            with alone(), neighbour(condition):
                time.sleep(0.5)
                found = measure_subnets(model, subnets, "onnxruntime", Workload(threads=threads), plan=plan)
            for name, one in zip(PROGRAMS, found, strict=True):
                rows.append(
                    {
                        "minute": round(now / 60, 2), "threads": threads, "condition": condition, "program": name,
                        "calm_ms": round(one.median_ms, 5), "raw_ms": round(one.raw_median_ms, 5),
                        "p90_ms": round(one.p90_ms, 5), "busy": one.busy, "restless": one.is_restless,
                    }
                )  # fmt: skip
        write_rows(given.output, rows)
        print(f"{now / 60:.1f} of {given.minutes:g} minutes", file=sys.stderr, flush=True)
        time.sleep(max(0.0, given.every - (time.monotonic() - start - now)))
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    """Print the spread of calm and raw figures in percent."""
    for threads, condition, name in product(THREADS, CONDITIONS, PROGRAMS):
        own = [
            row
            for row in rows
            if (row["threads"], row["condition"], row["program"]) == (threads, condition, name)
        ]
        spread = {
            kind: 100 * np.std([row[kind] for row in own]) / np.mean([row[kind] for row in own])
            for kind in ("calm_ms", "raw_ms")
        }
        print(
            f"{threads} thread(s), {condition}, {name}: calm {spread['calm_ms']:.1f}%, raw {spread['raw_ms']:.1f}%, "
            f"restless {sum(row['restless'] for row in own)} of {len(own)}"
        )


if __name__ == "__main__":
    main()
