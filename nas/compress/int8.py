"""Int8 quantization of ONNX files: static, with ranges found on examples, and dynamic."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.latency.runtimes.onnx_files import copy_onnx, data_file

if TYPE_CHECKING:
    import numpy as np


SCOPES = {
    "everything": "every operator that ONNX Runtime has in int8",
    "weighted": "convolutions and matrix products alone",
    "inner": "convolutions and matrix products but the first and the last",
}
"""What becomes int8. Sums and norms between the layers lose most where values differ much in size; they take little
time, but to convert there and back takes some, so which choice is best is measured."""
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantize_onnx(
    source: Path,
    target: Path,
    batches: Sequence[np.ndarray | Mapping[str, np.ndarray]],
    scope: str = "everything",
) -> None:
    """Write `source` with int8 weights (one scale a channel) and uint8 activations to `target`, in `scope`.

    The ranges of the activations are those that `batches` cause: arrays, or several arrays by the inputs' names.
    Activations are unsigned: on x86 that is two to three times as fast as signed ones.
    Raises `NasError` for a file that cannot be quantized.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self._left = iter([batch if isinstance(batch, Mapping) else {name: batch} for batch in batches])

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch, _quiet():
        prepared, made = Path(scratch, "prepared.onnx"), Path(scratch, "int8.onnx")
        large = data_file(source).exists()
        beside: dict[str, Any] = (
            {"save_as_external_data": True, "all_tensors_to_one_file": True} if large else {}
        )
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True, **beside)
            quantize_static(
                str(prepared),
                str(made),
                Reader(_input_name(prepared)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=None if scope == "everything" else list(_WEIGHTED),
                nodes_to_exclude=_ends(prepared) if scope == "inner" else None,
                use_external_data_format=large,
            )
        except Exception as error:
            raise _refused(source, error) from error
        copy_onnx(made, target)


def quantize_onnx_dynamically(source: Path, target: Path) -> None:
    """Write `source` with int8 matrix products to `target`: a scale a column; inputs get theirs at each run.

    Needs no calibration. Convolutions stay as they are: int8 ones without known ranges are slower than floats. Raises
    `NasError` for a file that cannot be quantized.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch, _quiet():
        made = Path(scratch, "int8.onnx")
        try:
            quantize_dynamic(
                str(source),
                str(made),
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=data_file(source).exists(),
            )
        except Exception as error:
            raise _refused(source, error) from error
        copy_onnx(made, target)


def _refused(source: Path, error: Exception) -> NasError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return NasError(f"{source} cannot be quantized ({reason}); use it as it is")


def _ends(path: Path) -> list[str]:
    """Return the names of the first and the last layer with weights."""
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    weighted = [node.name for node in nodes if node.op_type in _WEIGHTED]
    return [weighted[0], weighted[-1]] if weighted else []


def _input_name(path: Path) -> str:
    import onnx

    return onnx.load(str(path), load_external_data=False).graph.input[0].name


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice that is meant for who calls ONNX Runtime by hand."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
