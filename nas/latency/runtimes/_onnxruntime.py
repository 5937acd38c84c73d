"""ONNX Runtime on the processor: the default, and the deployment that is 2-4 times faster than eager torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.runtimes._base import Recipe, Run, Runtime
from nas.latency.workload import Workload

if TYPE_CHECKING:
    from torch import nn

    from nas.elastic import Inputs

_SEED = 0


class OnnxRuntime(Runtime):
    """ONNX Runtime's CPU provider as a user gets it: all graph optimisations, its threads spin between operators."""

    name = "onnxruntime"
    package = "onnxruntime"

    def lower(self, module: nn.Module, example: Inputs, path: Path, recipe: Recipe | None = None) -> Path:
        from nas.latency.runtimes._onnx import to_onnx

        program = path.with_suffix(".onnx")
        to_onnx(module, example, program)
        return program

    def load(self, path: Path, workload: Workload) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = workload.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {value.name: _noise(value, workload.batch_size) for value in session.get_inputs()}
        return lambda: session.run(None, feed)


def _noise(value: Any, batch_size: int) -> Any:
    """Return an array for an input of the graph: its symbolic axes are the batch."""
    import numpy as np

    shape = [size if isinstance(size, int) else batch_size for size in value.shape]
    if value.type == "tensor(float)":
        return np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    names = {"tensor(float16)": "float16", "tensor(double)": "float64", "tensor(bool)": "bool"}
    return np.zeros(shape, dtype=names.get(value.type, value.type.removeprefix("tensor(").removesuffix(")")))
