"""Where weights of few bits pay: single layers of 32, 8 and 4 bits and dynamic int8, in bytes and milliseconds.

    python -m tests.benchmarks.bench_bits [--threads 1] [--runtime onnxruntime] [--output FILE]

Every layer is lowered as a network is and measured beside its own floats in one process. A linear layer's rows are the
tokens of an image, or 1 for the embedding of a time. The error is the largest difference from the layer's floats over
the largest output, of the file as ONNX Runtime runs it.
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.compress import quantize_onnx_dynamically
from nas.elastic import quantize_layers, settle
from nas.export.formats import Onnx
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import Measurement, measure
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes.onnx_files import onnx_bytes
from nas.latency.workload import Workload

RESULTS = Path(__file__).with_name("results") / "bits.csv"
LINEAR = (
    (128, 128, 64), (320, 320, 1024), (512, 512, 256), (1280, 1280, 1), (1280, 1280, 64), (1280, 5120, 256),
    (5120, 1280, 256), (5120, 1280, 1),
)  # fmt: skip
"""Inputs, outputs, rows."""
CONVOLUTIONS = ((64, 64, 8), (320, 320, 32))
"""Inputs, outputs, height and width."""


def layers() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """Yield the name, the layer of floats and an input of each."""
    torch.manual_seed(0)
    for inputs, outputs, rows in LINEAR:
        yield (
            f"linear {inputs}x{outputs}, {rows} rows",
            nn.Linear(inputs, outputs),
            torch.randn(1, rows, inputs),
        )
    for inputs, outputs, size in CONVOLUTIONS:
        layer = nn.Conv2d(inputs, outputs, 3, padding=1)
        yield f"convolution {inputs}x{outputs}, {size}x{size}", layer, torch.randn(1, inputs, size, size)


@torch.no_grad()
def rows(runtime: str, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every layer; yields a row for each of its kinds."""
    chosen, workload = get_runtime(runtime), Workload(threads=threads)
    torch.set_num_threads(threads)
    for name, layer, x in layers():
        with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
            files: dict[str, Path] = {}
            for bits in (32, 8, 4):
                own = copy.deepcopy(layer).eval()
                if bits < 32:
                    settle(quantize_layers(own, bits))
                files[f"{bits} bits"] = chosen.lower(own, x, Path(folder, str(bits)))
            if runtime == "onnxruntime" and isinstance(layer, nn.Linear):
                files["dynamic int8"] = Path(folder, "dynamic.onnx")
                quantize_onnx_dynamically(files["32 bits"], files["dynamic int8"])
            measured = measure(files, chosen, workload)
            for kind, file in files.items():
                yield _row(name, kind, file, measured, _error(file, layer, x, runtime))


def _error(file: Path, layer: nn.Module, x: torch.Tensor, runtime: str) -> float | None:
    if runtime != "onnxruntime":
        return None

    def build() -> nn.Module:
        raise AssertionError("an ONNX file needs no network")

    wanted = layer(x)
    return float((Onnx(exact=False).open(file, build)(x) - wanted).abs().max() / wanted.abs().max())


def _row(
    name: str, kind: str, file: Path, measured: dict[str, Measurement], error: float | None
) -> dict[str, Any]:
    own, floats = measured[kind], measured["32 bits"]
    return {
        "layer": name,
        "kind": kind,
        "bytes": onnx_bytes(file),
        "ms": f"{own.median_ms:.4g}",
        "ci_low": f"{own.ci_ms[0]:.4g}",
        "ci_high": f"{own.ci_ms[1]:.4g}",
        "speedup": f"{floats.median_ms / own.median_ms:.3f}",
        "error": "" if error is None else f"{error:.2e}",
    }


def main() -> None:
    """Measure, print and write the CSV."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    where = (
        f"{chosen.runtime} {version('onnxruntime')}, torch {torch.__version__}, {machine_fingerprint('cpu')}"
    )
    found = []
    for row in rows(chosen.runtime, chosen.threads):
        found.append({**row, "threads": chosen.threads, "measured_with": where})
        print(" ".join(f"{key}={value}" for key, value in row.items()), file=sys.stderr, flush=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*found[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    write_atomic(chosen.output, text.getvalue())
    print(chosen.output)


if __name__ == "__main__":
    main()
