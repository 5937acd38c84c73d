"""ONNX files on disk: one file, or for a large network a file and its weights beside it (`model.onnx.data`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from nas.files import replacing, write_atomic

MOST_BYTES = 1_900_000_000
"""Weights beyond this stand beside the file: a file of Protocol Buffers ends at 2 GB."""
DATA = ".data"


def data_file(path: Path) -> Path:
    """Return where the weights of a large network's ONNX file are, whether it has any there or not."""
    return path.with_name(path.name + DATA)


def onnx_bytes(path: Path) -> int:
    """Return the bytes of an ONNX file, its weights beside it included."""
    data = data_file(path)
    return path.stat().st_size + (data.stat().st_size if data.exists() else 0)


def initializer_bytes(model: Any) -> int:
    """Return the bytes of a model's weights, of which the length of a message of more than 2 GB tells nothing."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def save_onnx(model: Any, path: Path) -> None:
    """Write a model, large weights beside it where it would not fit into a file."""
    import onnx

    if initializer_bytes(model) <= MOST_BYTES:
        path.write_bytes(model.SerializeToString())
        return
    data_file(path).unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(
        model, str(path), save_as_external_data=True, location=data_file(path).name, size_threshold=1024
    )


def copy_onnx(source: Path, target: Path) -> None:
    """Copy an ONNX file under another name, with its weights beside it if it has any; each is whole or not there."""
    if not data_file(source).exists():
        write_atomic(target, source.read_bytes())
        return
    import onnx

    model = onnx.load(str(source), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = data_file(target).name
    with replacing(data_file(target)) as beside:
        shutil.copyfile(data_file(source), beside)
    write_atomic(target, model.SerializeToString())
