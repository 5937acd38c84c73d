"""An artifact with an int8 file beside the others, if that is worth it: measured, or refused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from nas.compress import SCOPES, WORTH, quantize_onnx, recommend
from nas.elastic import Inputs, batch_of, split_inputs
from nas.errors import NasError, UsageError
from nas.export.bench import measured_latency
from nas.export.card import quality_row, table
from nas.export.formats import Onnx
from nas.export.loading import artifact_family, artifact_subnet
from nas.export.manifest import (
    CARD,
    Latency,
    Manifest,
    QualityFigure,
    hash_files,
    read_manifest,
    verify,
    write_manifest,
)
from nas.files import new_folder
from nas.latency.measuring.measure import Measurement, measure
from nas.latency.measuring.reference import open_references
from nas.latency.runtimes import Runtime
from nas.latency.units import format_bytes, format_ms
from nas.latency.workload import Workload
from nas.models import Evaluator, Model
from nas.models.task import get_task
from nas.space import Subnet

INT8 = "model.int8.onnx"
_INPUTS = 256
_BATCH = 32


@dataclass(frozen=True)
class Quantized:
    """What int8 changes: latencies in ms, qualities as evaluators found them, file sizes in bytes; fp32 comes first.

    `scope` is what became int8, `tried` the speed-up of every scope over fp32.
    """

    scope: str
    tried: Mapping[str, float]
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
    evaluators: Sequence[Evaluator],
    runtime: Runtime,
    workload: Workload,
    *,
    worth: float = WORTH,
    report: Callable[[str], None] = lambda text: None,
) -> Quantized:
    """Write to `output` the artifact at `folder` with an int8 ONNX file; `model` is its supernet.

    Of the scopes that are `worth` times as fast as fp32 here the most accurate is taken: by the first of `evaluators`,
    where there are none by the outputs' distance from fp32. Raises `NasError`, and leaves nothing behind, when none is.
    """
    manifest = read_manifest(folder)
    if Onnx.file not in manifest.files:
        raise NasError(f"{folder} has no {Onnx.file}; export it again with --format onnx")
    verify(folder, manifest, (Onnx.file,))
    subnet = artifact_subnet(folder, model.family)
    with new_folder(output) as beside, tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        for name in manifest.files:
            shutil.copyfile(folder / name, beside / name)
        fp32 = beside / Onnx.file
        inputs, what = model.task.inputs(model, subnet, _INPUTS)
        report(f"quantizing on {batch_of(inputs)} {what}")
        files = _quantize_all(fp32, Path(scratch), inputs)
        report(f"measuring int8 beside fp32 under {runtime.name}, {workload}")
        measured = _measure_all(fp32, files, runtime, workload, model)
        tried = {scope: measured["fp32"].median_ms / measured[scope].median_ms for scope in files}
        _require_worth(measured, tried, worth, runtime)
        report("measuring what int8 costs")
        judged = _Judged(evaluators, model, subnet, inputs)
        schemes = [_File(scope, file, tried[scope], judged, fp32) for scope, file in files.items()]
        best = recommend(_File("fp32", fp32, 1.0, judged, fp32), schemes, worth=worth)
        if best is None:
            raise NasError("int8 gives outputs that are no finite numbers; nothing was written, use fp32")
        scope = best.scope
        shutil.copyfile(files[scope], beside / INT8)
        times = measured["fp32"].median_ms, measured[scope].median_ms
        sizes = fp32.stat().st_size, files[scope].stat().st_size
        found = Quantized(scope, tried, times, judged.pairs(fp32, files[scope]), sizes)
        latency = {"fp32": measured["fp32"], "int8": measured[scope]}
        figures = [_latency(name, value, runtime, workload) for name, value in latency.items()]
        _describe(beside, manifest, found, figures)
    return found


def require_one_program(folder: Path) -> None:
    """Raise `UsageError`, naming the command that does it, for an artifact of several programs."""
    family = artifact_family(folder, read_manifest(folder))
    if [*family.programs] != [""]:
        raise UsageError(
            f"{folder} holds several programs that make an output together; quantize it with "
            f"'{get_task(family.task).quantizer} {folder}'"
        )


def _quantize_all(fp32: Path, scratch: Path, inputs: Inputs) -> dict[str, Path]:
    batches = [_arrays(batch) for batch in split_inputs(inputs, _BATCH)]
    files = {scope: scratch / f"{scope}.onnx" for scope in SCOPES}
    for scope, path in files.items():
        quantize_onnx(fp32, path, batches, scope)
    return files


def _arrays(batch: Inputs) -> np.ndarray | dict[str, np.ndarray]:
    if isinstance(batch, Mapping):
        return {name: np.ascontiguousarray(x.numpy()) for name, x in batch.items()}
    return np.ascontiguousarray(batch.numpy())


def _measure_all(
    fp32: Path, files: Mapping[str, Path], runtime: Runtime, workload: Workload, model: Model
) -> dict[str, Measurement]:
    references = open_references(model.family, runtime, workload)
    return measure({"fp32": fp32, **files}, runtime, workload, references=references)


def _require_worth(
    measured: Mapping[str, Measurement], tried: Mapping[str, float], worth: float, runtime: Runtime
) -> None:
    fastest = max(tried, key=lambda scope: tried[scope])
    if tried[fastest] < worth:
        raise NasError(
            f"int8 takes {format_ms(measured[fastest].median_ms)} where fp32 takes "
            f"{format_ms(measured['fp32'].median_ms)} under {runtime.name} here, {tried[fastest]:.2f}× as fast and "
            f"not {worth:g}×; nothing was written, use fp32"
        )


@dataclass(frozen=True)
class _Judged:
    """What files are worth: their qualities by the evaluators, and the distance of their outputs from fp32."""

    evaluators: Sequence[Evaluator]
    model: Model
    subnet: Subnet
    inputs: Inputs
    _scores: dict[Path, float] = field(default_factory=dict)
    _values: dict[tuple[int, Path], float] = field(default_factory=dict)

    def score(self, fp32: Path, file: Path) -> float:
        """Return how accurate a file is, higher being better."""
        if file not in self._scores:
            if self.evaluators:
                first = self.evaluators[0]
                self._scores[file] = first.quality.sign * self._value(first, file)
            else:
                self._scores[file] = -self._error(fp32, file)
        return self._scores[file]

    def pairs(self, fp32: Path, int8: Path) -> tuple[tuple[QualityFigure, QualityFigure], ...]:
        """Return every quality of both files."""
        return tuple(
            (self._figure(evaluator, fp32, "fp32"), self._figure(evaluator, int8, "int8"))
            for evaluator in self.evaluators
        )

    def _value(self, evaluator: Evaluator, file: Path) -> float:
        key = id(evaluator), file
        if key not in self._values:
            self._values[key] = evaluator(self.model, Onnx(exact=False).open(file, _never), self.subnet)
        return self._values[key]

    def _error(self, fp32: Path, int8: Path) -> float:
        first, second = (Onnx(exact=False).open(file, _never)(self.inputs) for file in (fp32, int8))
        return float((first - second).square().mean())

    def _figure(self, evaluator: Evaluator, file: Path, precision: str) -> QualityFigure:
        return _judged(evaluator, self._value(evaluator, file), precision)


@dataclass(frozen=True)
class _File:
    """A file as the rule of what is worth it weighs it; how accurate it is, is found when that is asked for."""

    scope: str
    path: Path
    speedup: float
    judged: _Judged
    fp32: Path

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    @property
    def score(self) -> float:
        return self.judged.score(self.fp32, self.path)


def _never() -> NoReturn:
    raise AssertionError("an ONNX file needs no network")


def _judged(evaluator: Evaluator, value: float, precision: str) -> QualityFigure:
    quality = evaluator.quality
    data = f"{evaluator.data}, {precision}"
    return QualityFigure(name=quality.name, value=value, kind="measured", data=data, unit=quality.unit)


def _latency(precision: str, measured: Measurement, runtime: Runtime, workload: Workload) -> Latency:
    return replace(measured_latency(measured, runtime, workload), precision=precision)


def _describe(folder: Path, manifest: Manifest, found: Quantized, latency: Sequence[Latency]) -> None:
    rows = [quality_row(figure) for pair in found.quality for figure in pair]
    rows += [("latency", format_ms(item.median_ms), f"{item.precision}, {item.runtime}") for item in latency]
    rows += [
        ("file size", format_bytes(size), name)
        for name, size in zip((Onnx.file, INT8), found.bytes, strict=True)
    ]
    text = (
        f"\n## int8\n\n`{INT8}`: weights int8 with a scale a channel, activations uint8, for {SCOPES[found.scope]}; "
        f"{found.speedup:.2f}× as fast as fp32, measured side by side.\n\n"
        f"{table(('what', 'value', 'how it was found'), rows)}\n"
    )
    with open(folder / CARD, "a", encoding="utf-8") as file:
        file.write(text)
    quality = (*manifest.quality, *(figure for pair in found.quality for figure in pair))
    extended = replace(
        manifest, quality=quality, latency=(*manifest.latency, *latency), files=hash_files(folder)
    )
    write_manifest(folder, extended)
