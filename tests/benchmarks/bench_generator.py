"""What a generator's subnets cost, and what our modulated convolution costs beside the published grouped form.

    python -m tests.benchmarks.bench_generator [--rounds 9] [--resolution 64]

Untrained Anycost GAN generators: cost does not depend on the weights. `generator_widths.csv`: MACs and latency (ONNX
Runtime, one thread, batch 1, measured side by side) of uniform widths at full and half resolution against the full
generator. `modulated_convolution.csv`: the same generator in the form that scales its input and demodulates its output
against the form with one weight an image in a grouped convolution, inference and training step, in turns.
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MethodType

import torch
from torch import Tensor, nn

from gan_compress.stylegan2.family import StyleGAN2, anycost
from gan_compress.stylegan2.networks import ModulatedConv
from nas.elastic import Supernet
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import measure
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from tests.gan_compress.grouped import grouped

RESULTS = Path(__file__).with_name("results")


def grouped_form(network: nn.Module) -> nn.Module:
    """Return a copy of a generator whose convolutions run in the grouped form."""
    other = copy.deepcopy(network)
    for layer in other.modules():
        if isinstance(layer, ModulatedConv):
            layer.forward = MethodType(grouped, layer)
    return other


def widths(supernet: Supernet, resolution: int) -> list[dict[str, object]]:
    """Measure uniform widths at full and at half resolution."""
    family = supernet.family
    assert isinstance(family, StyleGAN2)
    subnets = {
        (size, ratio): family.uniform(ratio, size)
        for size in (resolution, resolution // 2)
        for ratio in (1.0, 0.75, 0.5, 0.25)
    }
    runtime, workload = get_runtime("onnxruntime"), Workload(1, 1)
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for number, (key, subnet) in enumerate(subnets.items()):
            path = Path(folder, str(number))
            programs[key] = runtime.lower(supernet.extract(subnet), family.example_input(subnet), path, None)
        measured = measure(programs, runtime, workload)
    full = (resolution, 1.0)
    macs = {key: supernet.count(subnet).macs for key, subnet in subnets.items()}
    return [
        {
            "resolution": key[0],
            "width": key[1],
            "macs": macs[key],
            "latency_ms": f"{measured[key].median_ms:.3f}",
            "macs_ratio": f"{macs[full] / macs[key]:.2f}",
            "speedup": f"{measured[full].median_ms / measured[key].median_ms:.2f}",
            "runtime": f"onnxruntime {runtime.version}",
            "threads": 1,
            "machine": str(machine_fingerprint()),
        }
        for key in subnets
    ]


def forms(supernet: Supernet, rounds: int) -> list[dict[str, object]]:
    """Measure both forms of the modulated convolution in turns."""
    family, largest = supernet.family, supernet.space.largest()
    ours = supernet.extract(largest)
    theirs = grouped_form(ours)
    rows: list[dict[str, object]] = []
    for batch in (8, 16):
        x = family.example_input(largest, batch)
        with torch.no_grad():
            assert torch.allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-3)

        def infer(network: nn.Module, x: Tensor = x) -> None:
            with torch.inference_mode():
                network(x)

        def train(network: nn.Module, x: Tensor = x) -> None:
            network.zero_grad(set_to_none=True)
            network(x).square().mean().backward()

        for kind, run in (("inference", infer), ("training step", train)):
            pairs = [_pair(run, ours, theirs, turn) for turn in range(-2, rounds)][2:]
            ratios = [a / b for a, b in pairs]
            rows.append(
                {
                    "kind": kind,
                    "batch_size": batch,
                    "ours_ms": f"{1e3 * statistics.median(a for a, _ in pairs):.1f}",
                    "grouped_ms": f"{1e3 * statistics.median(b for _, b in pairs):.1f}",
                    "ratio": f"{statistics.median(ratios):.3f}",
                    "rounds": rounds,
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "machine": str(machine_fingerprint()),
                }
            )
            print(f"{kind}, batch {batch}: ours ÷ grouped {rows[-1]['ratio']}", file=sys.stderr)
    return rows


def _pair(
    run: Callable[[nn.Module], None], ours: nn.Module, theirs: nn.Module, turn: int
) -> tuple[float, float]:
    seconds = {}
    for name in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
        network = ours if name == "ours" else theirs
        start = time.perf_counter()
        run(network)
        seconds[name] = time.perf_counter() - start
    return seconds["ours"], seconds["theirs"]


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
    for row in rows:
        print({name: value for name, value in row.items() if name not in ("machine", "runtime", "torch")})


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--resolution", type=int, default=64)
    given = parser.parse_args()
    torch.manual_seed(0)
    supernet = Supernet(anycost(given.resolution, 0.5)).eval()
    RESULTS.mkdir(exist_ok=True)
    _write(RESULTS / "generator_widths.csv", widths(supernet, given.resolution))
    _write(RESULTS / "modulated_convolution.csv", forms(supernet, given.rounds))


if __name__ == "__main__":
    main()
