"""Writing a quantized pipeline: a folder that diffusers loads, with ONNX files and what was measured of them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusion.compress.quantization import TriedScheme, bits_of
from diffusion.evaluation.task import PSNR
from nas.compress import SCOPES
from nas.errors import NasError
from nas.export import (
    CARD,
    Export,
    Latency,
    QualityFigure,
    hash_files,
    measured_latency,
    parse_formats,
    read_manifest,
    write_manifest,
)
from nas.files import new_place
from nas.latency.runtimes import Runtime, copy_onnx
from nas.latency.units import format_bytes, format_ms
from nas.latency.workload import Workload
from nas.models import Model

_CARD = """
## Quantized: {name}

{what}

| | fp32 | here |
| --- | --- | --- |
| an image, {runtime} | {float_ms} | {own_ms} ({speedup:.2f}× as fast) |
| program files | {float_bytes} | {own_bytes} |
| PSNR to the pictures of fp32 | | {psnr:.1f} dB |
"""
_PACKED = """The UNet's weights have these bits: {bits}. `unet/` holds them packed, and torch makes floats of them at
each call: smaller, not faster. In the ONNX files wide matrix products are computed with integers, and ONNX Runtime
rounds what they are multiplied with to 8 bits too; other weights become floats when a file is opened."""
_INTEGER = """{files} compute in int8 under ONNX Runtime ({scope}). `unet/` holds the weights as floats: torch has no
such network, and the check against the supernet above is that of the floats before."""


def write_quantized(
    model: Model,
    chosen: TriedScheme,
    floats: TriedScheme,
    runtime: Runtime,
    workload: Workload,
    folder: str | Path,
) -> None:
    """Write a scheme that was tried as a new folder, as a whole or not at all.

    It is an exported artifact: `DiffusionPipeline.from_pretrained(folder)` loads it after `import diffusion`, and
    `run_onnx.py` in it samples with ONNX Runtime. Raises `UsageError` if `folder` exists.
    """
    target = new_place(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            beside = Path(scratch, "model")
            Export(
                model=model,
                subnet=chosen.scheme.subnet,
                formats=parse_formats("onnx"),
                quality=_quality(chosen),
                latency=_latency(chosen, runtime, workload),
            ).write(beside)
            _describe(beside, chosen, floats, runtime)
            beside.rename(target)
    except OSError as error:
        raise NasError(
            f"cannot write {target} ({error.strerror or error}); choose a writable place with free space"
        ) from error


def _quality(chosen: TriedScheme) -> list[QualityFigure]:

    data = f"pictures of fixed prompts and seeds, beside those of fp32; {chosen.scheme.name}"
    figures = [
        QualityFigure(name=PSNR.name, value=chosen.psnr_db, kind="measured", data=data, unit=PSNR.unit)
    ]
    if chosen.match is not None:
        figures.append(QualityFigure(name="match", value=chosen.match, kind="measured", data=data))
    return figures


def _latency(chosen: TriedScheme, runtime: Runtime, workload: Workload) -> list[Latency]:

    return [replace(measured_latency(chosen.measured, runtime, workload), precision=chosen.scheme.name)]


def _describe(folder: Path, chosen: TriedScheme, floats: TriedScheme, runtime: Runtime) -> None:
    """Put files that ONNX Runtime quantized in the place of those of floats; tell of the way in card and manifest."""

    replaced = {
        name: file
        for name, file in chosen.files.items()
        if chosen.scheme.scope and file != floats.files[name]
    }
    for name, file in replaced.items():
        copy_onnx(file, folder / f"{name}.onnx")
    bits = ", ".join(
        f"{name.removesuffix('.bits')} {own}" for name, own in bits_of(chosen.scheme.subnet).items()
    )
    scopes = _scopes()
    what = (
        _INTEGER.format(
            files=", ".join(f"`{name}.onnx`" for name in replaced), scope=scopes[chosen.scheme.scope]
        )
        if replaced
        else _PACKED.format(bits=bits)
    )
    text = _CARD.format(
        name=chosen.scheme.name,
        what=what,
        runtime=runtime.name,
        float_ms=format_ms(floats.measured.median_ms),
        own_ms=format_ms(chosen.measured.median_ms),
        speedup=chosen.speedup,
        float_bytes=format_bytes(floats.size_bytes),
        own_bytes=format_bytes(chosen.size_bytes),
        psnr=chosen.psnr_db,
    )
    with open(folder / CARD, "a", encoding="utf-8") as file:
        file.write(text)
    manifest = read_manifest(folder)
    gone = {f"onnx {name}" for name in replaced}
    kept = tuple(row for row in manifest.parity if row["format"] not in gone)
    write_manifest(folder, replace(manifest, parity=kept, files=hash_files(folder)))


def _scopes() -> dict[str, Any]:

    return {**SCOPES, "dynamic": "matrix products alone, ranges found at each run"}
