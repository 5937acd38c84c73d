"""What a training step of a supernet costs beside the same step of an ordinary network of the same size.

    python -m tests.benchmarks.bench_supernet_step [--rounds 15] [--threads 1] [--output FILE]

Forward and backward of the once-for-all MobileNetV3, channels_last. The two are measured in turns within one run, so
that a noisy machine disturbs both alike; the ratio is the median over the rounds. "random" draws a new subnet in every
round, as training does: its static network is made outside the clock, the supernet's skeleton inside.
"""

from __future__ import annotations

import argparse
import csv
import io
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.elastic import Supernet
from nas.families import get_family
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.space import Subnet

RESULTS = Path(__file__).with_name("results") / "supernet_step.csv"
WORKLOADS = ((32, 64), (128, 8))
"""Resolution and batch size."""
KINDS = ("smallest", "largest", "random")
_WARM_UP = 3
_KNOWN_PARTS = 30
"""Random subnets run before the clock starts: after some dozens of steps training has met nearly every block."""


def _step_ms(network: nn.Module, run: Callable[[], torch.Tensor]) -> float:
    """Return the milliseconds of one forward and backward pass."""
    network.zero_grad(set_to_none=True)
    start = time.perf_counter()
    run().square().mean().backward()
    return (time.perf_counter() - start) * 1e3


def _static(supernet: Supernet, subnet: Subnet) -> nn.Module:
    return supernet.extract(subnet).train().to(memory_format=torch.channels_last)


def measure(
    supernet: Supernet, kind: str, x: torch.Tensor, rounds: int, seed: int = 0
) -> list[tuple[float, float]]:
    """Return (supernet, static) milliseconds of each round; every other round the static network goes first."""
    space, rng = supernet.space, np.random.default_rng(seed)
    fixed = {"smallest": space.smallest(), "largest": space.largest()}.get(kind)
    subnet = fixed or space.sample(rng)
    static = _static(supernet, subnet)
    measured = []
    for index in range(-_WARM_UP, rounds):
        if fixed is None:
            subnet = space.sample(rng)
            static = _static(supernet, subnet)
            static(x)  # its weights are prepared for the processor in the first call
        times: dict[str, float] = {}
        order = ("supernet", "static") if index % 2 else ("static", "supernet")
        for name in order:
            if name == "supernet":
                times[name] = _step_ms(supernet, lambda: supernet(x, subnet))  # noqa: B023 (called at once)
            else:
                times[name] = _step_ms(static, lambda: static(x))  # noqa: B023
        if index >= 0:
            measured.append((times["supernet"], times["static"]))
    return measured


def _row(
    resolution: int, batch_size: int, kind: str, measured: list[tuple[float, float]]
) -> dict[str, object]:
    ratios = sorted(supernet / static for supernet, static in measured)
    quarter = len(ratios) // 4
    return {
        "resolution": resolution,
        "batch_size": batch_size,
        "subnet": kind,
        "supernet_ms": f"{statistics.median(row[0] for row in measured):.1f}",
        "static_ms": f"{statistics.median(row[1] for row in measured):.1f}",
        "ratio": f"{statistics.median(ratios):.3f}",
        "ratio_lower_quartile": f"{ratios[quarter]:.3f}",
        "ratio_upper_quartile": f"{ratios[-1 - quarter]:.3f}",
        "rounds": len(measured),
        "threads": torch.get_num_threads(),
        "machine": str(machine_fingerprint()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "anyfit": version("anyfit"),
    }


def run(rounds: int) -> list[dict[str, object]]:
    """Measure every workload and kind of subnet."""
    rows = []
    for resolution, batch_size in WORKLOADS:
        torch.manual_seed(0)
        family = get_family("ofa-mbv3", resolutions=(resolution,))
        supernet = Supernet(family).train().to(memory_format=torch.channels_last)
        x = family.example_input(supernet.space.largest(), batch_size)
        x = x.contiguous(memory_format=torch.channels_last)
        rng = np.random.default_rng(1)
        for _ in range(_KNOWN_PARTS):
            supernet.skeleton(supernet.space.sample(rng))
        for kind in KINDS:
            rows.append(_row(resolution, batch_size, kind, measure(supernet, kind, x, rounds)))
            print(f"{resolution} px, batch {batch_size}, {kind}: {rows[-1]['ratio']}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="torch's threads; its own choice by default")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    rows = run(given.rounds)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(given.output, text.getvalue())
    print(f"{'images':>18} {'subnet':>9} {'supernet':>10} {'static':>10} {'ratio':>6}")
    for row in rows:
        images = f"{row['batch_size']} × {row['resolution']} px"
        print(
            f"{images:>18} {row['subnet']:>9} {row['supernet_ms']:>7} ms {row['static_ms']:>7} ms {row['ratio']:>6}"
        )
    print(f"forward and backward, median of {given.rounds} rounds; written to {given.output.name}")


if __name__ == "__main__":
    main()
