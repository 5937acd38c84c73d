"""Quantizing: a subnet or an exported network with an int8 file beside its others, if that is worth it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import models
from nas._table import Result, Table
from nas.api.figures import read_subnet
from nas.api.targets import find_target
from nas.api.verbs.exporting import export_target
from nas.compress import SCOPES
from nas.data import Data
from nas.errors import UsageError
from nas.export import Quantized, artifact_subnet, is_artifact, quantize_artifact
from nas.files import new_place
from nas.latency import Workload, format_bytes, format_ms, get_runtime
from nas.progress import Listener, as_progress
from nas.space import Subnet

_KINDS = ("fp32", "int8")


@dataclass(frozen=True)
class Quantization(Result):
    """A network of one program with an int8 ONNX file beside its fp32 one.

    Attributes:
        folder: The artifact with both files.
        found: Latencies, bytes and qualities of both; what became int8; the speed-up of everything that was tried.

    Example:
        found = model.quantize("artifacts/small", "artifacts/small-int8", threads=1)
        print(found.table(), *found.remarks)
    """

    folder: Path
    found: Quantized

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas quantize --json` prints."""
        found = self.found
        return {
            "output": str(self.folder),
            "latency_ms": _both(found.latency_ms),
            "bytes": _both(found.bytes),
            "quality": {pair[0].name: _both((pair[0].value, pair[1].value)) for pair in found.quality},
            "speedup": found.speedup,
            "scope": found.scope,
            "tried": dict(found.tried),
        }

    def table(self) -> Table:
        """Return qualities, latency and size of fp32 and int8."""
        found = self.found
        rows = [[pair[0].name, *(figure.text for figure in pair)] for pair in found.quality]
        rows.append(["latency", *map(format_ms, found.latency_ms)])
        rows.append(["file size", *map(format_bytes, found.bytes)])
        return Table(("", *_KINDS), rows)

    @property
    def remarks(self) -> tuple[str, str]:
        """What became int8, and how fast everything was that was tried."""
        found = self.found
        others = ", ".join(f"{scope} {ratio:.2f}×" for scope, ratio in found.tried.items())
        fast = f"{found.speedup:.2f}× as fast ({others}); wrote {self.folder}"
        return f"int8 are {SCOPES[found.scope]}", fast


def quantize_model(
    model: models.Model,
    subnet: Subnet | str | Path,
    output: str | Path | None = None,
    data: Data | None = None,
    *,
    threads: int = 1,
    batch_size: int = 1,
    progress: Listener | None = None,
    **options: Any,
) -> Result:
    """Quantize a subnet or an exported network; `nas.Model.quantize` says what the arguments are."""
    folder = new_place(output)
    artifact = None if isinstance(subnet, Subnet) or not is_artifact(subnet) else Path(subnet)
    if [*model.family.programs] != [""]:
        chosen = _subnet(model, subnet) if artifact is None else artifact_subnet(artifact, model.family)
        if data is not None:
            raise UsageError(
                f"{model.name} is judged on prompts and seeds, but data are given; leave them out"
            )
        return model.task.quantize(model, chosen, folder, threads=threads, progress=progress, **options)
    if output is None:
        raise UsageError("a quantized network needs a place; name a new folder with --output")
    if options:
        raise UsageError(
            f"{', '.join(options)} is for pipelines, but {model.name} is a model for {model.task.name}; leave it out"
        )
    hear = as_progress(progress)
    evaluators = [
        model.task.evaluator(model, quality, data, split="test")
        for quality in model.task.qualities_of(model)
        if data is not None or not model.task.needs_data(quality)
    ]
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        if artifact is None:
            artifact = Path(scratch, "export")
            export_target(
                model, None, artifact, ("onnx",), subnet=_subnet(model, subnet), measured=False, progress=hear
            )
        found = quantize_artifact(
            artifact, Path(output), model, evaluators, get_runtime("onnxruntime"), Workload(batch_size, threads),
            report=hear,
        )  # fmt: skip
    return Quantization(Path(output), found)


def _subnet(model: models.Model, named: Subnet | str | Path) -> Subnet:
    return named if isinstance(named, Subnet) else read_subnet(find_target(str(named)), model)


def _both(pair: tuple[Any, Any]) -> Mapping[str, Any]:
    return dict(zip(_KINDS, pair, strict=True))


__all__ = ["Quantization", "quantize_model"]
