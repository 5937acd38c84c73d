"""An artifact with an int8 file beside the others, if that is worth it: measured, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from nas._errors import NasError
from nas._files import new_folder
from nas.export._card import quality_row, table
from nas.export._formats import Onnx
from nas.export._load import artifact_subnet
from nas.export._manifest import (
    CARD,
    Latency,
    Manifest,
    QualityFigure,
    hash_files,
    read_manifest,
    verify,
    write_manifest,
)
from nas.latency.units import format_bytes, format_ms

if TYPE_CHECKING:
    from nas.families import Judge, Model
    from nas.families._task import Forward
    from nas.latency.measure import Measurement
    from nas.latency.runtimes import Runtime
    from nas.latency.workload import Workload
    from nas.space import Subnet

INT8 = "model.int8.onnx"
WORTH = 1.2  # how many times as fast as fp32 under the same runtime int8 must be
_INPUTS = 256
_BATCH = 32


@dataclass(frozen=True)
class Quantized:
    """What int8 changes: latencies in ms, qualities as the judges found them, file sizes in bytes; fp32 comes first."""

    latency_ms: tuple[float, float]
    quality: tuple[tuple[QualityFigure, QualityFigure], ...]
    bytes: tuple[int, int]

    @property
    def speedup(self) -> float:
        """How many times as fast int8 is."""
        return self.latency_ms[0] / self.latency_ms[1]


def quantize_artifact(
    folder: Path,
    output: Path,
    model: Model,
    judges: Sequence[Judge],
    runtime: Runtime,
    workload: Workload,
    *,
    worth: float = WORTH,
    report: Callable[[str], None] = lambda text: None,
) -> Quantized:
    """Write to `output` the artifact at `folder` with an int8 ONNX file; `model` is its supernet.

    Raises `NasError`, and leaves nothing behind, when int8 is not `worth` times as fast as fp32 here.
    """
    from nas.compress import quantize_onnx
    from nas.latency.measure import measure

    manifest = read_manifest(folder)
    if Onnx.file not in manifest.files:
        raise NasError(f"{folder} has no {Onnx.file}; export it again with --format onnx")
    verify(folder, manifest, (Onnx.file,))
    subnet = artifact_subnet(folder, model.family)
    with new_folder(output) as beside:
        for name in manifest.files:
            shutil.copyfile(folder / name, beside / name)
        inputs, what = model.task.inputs(model, subnet, _INPUTS)
        report(f"quantizing on {len(inputs)} {what}")
        batches = [np.ascontiguousarray(batch.numpy()) for batch in inputs.split(_BATCH)]
        quantize_onnx(beside / Onnx.file, beside / INT8, batches)
        report(f"measuring int8 beside fp32 under {runtime.name}, {workload}")
        files = {"fp32": beside / Onnx.file, "int8": beside / INT8}
        measured = measure(files, runtime, workload)
        times = measured["fp32"].median_ms, measured["int8"].median_ms
        if times[0] < worth * times[1]:
            raise NasError(
                f"int8 takes {format_ms(times[1])} where fp32 takes {format_ms(times[0])} under {runtime.name} here, "
                f"{times[0] / times[1]:.2f}× as fast and not {worth:g}×; nothing was written, use fp32"
            )
        report("measuring what int8 costs")
        open_file = Onnx().open
        pairs = tuple(
            (_judged(judge, model, open_file(files["fp32"], _never), subnet, "fp32"),
             _judged(judge, model, open_file(files["int8"], _never), subnet, "int8"))
            for judge in judges
        )  # fmt: skip
        sizes = files["fp32"].stat().st_size, files["int8"].stat().st_size
        found = Quantized(times, pairs, sizes)
        _describe(
            beside, manifest, found, [_latency(name, measured[name], runtime, workload) for name in files]
        )
    return found


def _never() -> NoReturn:
    raise AssertionError("an ONNX file needs no network")


def _judged(judge: Judge, model: Model, forward: Forward, subnet: Subnet, precision: str) -> QualityFigure:
    value, quality = judge(model, forward, subnet), judge.quality
    data = f"{judge.data}, {precision}"
    return QualityFigure(name=quality.name, value=value, kind="measured", data=data, unit=quality.unit)


def _latency(precision: str, measured: Measurement, runtime: Runtime, workload: Workload) -> Latency:
    from nas.export._bench import measured_latency

    return replace(measured_latency(measured, runtime, workload), precision=precision)


def _describe(folder: Path, manifest: Manifest, found: Quantized, latency: Sequence[Latency]) -> None:
    rows = [quality_row(figure) for pair in found.quality for figure in pair]
    rows += [("latency", format_ms(item.median_ms), f"{item.precision}, {item.runtime}") for item in latency]
    rows += [
        ("file size", format_bytes(size), name)
        for name, size in zip((Onnx.file, INT8), found.bytes, strict=True)
    ]
    text = (
        f"\n## int8\n\n`{INT8}`: weights int8 with a scale a channel, activations uint8; {found.speedup:.2f}× as fast "
        f"as fp32, measured side by side.\n\n{table(('what', 'value', 'how it was found'), rows)}\n"
    )
    with open(folder / CARD, "a", encoding="utf-8") as file:
        file.write(text)
    quality = (*manifest.quality, *(figure for pair in found.quality for figure in pair))
    extended = replace(
        manifest, quality=quality, latency=(*manifest.latency, *latency), files=hash_files(folder)
    )
    write_manifest(folder, extended)
