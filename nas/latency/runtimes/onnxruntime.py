"""ONNX Runtime on the processor: the default, and the deployment that is 2-4 times faster than eager torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import elastic
from nas.latency.runtimes.base import ArrayFunction, BuildRecipe, Run, Runtime
from nas.latency.runtimes.onnx import to_onnx
from nas.latency.workload import Workload

if TYPE_CHECKING:
    from torch import nn

_SEED = 0


class OnnxFiles(Runtime):
    """A runtime whose programs are the ONNX files that ship."""

    reads_onnx = True

    def lower(
        self, module: nn.Module, example: elastic.Inputs, path: Path, recipe: BuildRecipe | None = None
    ) -> Path:
        program = path.with_suffix(".onnx")
        to_onnx(module, example, program)
        return program


class OnnxRuntime(OnnxFiles):
    """ONNX Runtime's CPU provider as a user gets it: all graph optimisations, its threads spin between operators."""

    name = "onnxruntime"
    package = "onnxruntime"

    shares_threads = False

    def start(self, workload: Workload) -> None:
        import onnxruntime

        super().start(workload)
        onnxruntime.set_global_thread_pool_sizes(workload.threads, 1)
        self.shares_threads = True

    def load(self, path: Path, workload: Workload) -> Run:
        session = _session(path, workload.threads, self.shares_threads)
        feed = {value.name: _noise(value, workload.batch_size) for value in session.get_inputs()}
        return lambda: session.run(None, feed)

    def function(self, path: Path, threads: int) -> ArrayFunction:
        session = _session(path, threads)
        names = {value.name for value in session.get_inputs()}
        return lambda feed: session.run(None, {n: x for n, x in feed.items() if n in names})[0]


def _session(path: Path, threads: int, shares_threads: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if shares_threads:
        options.use_per_session_threads = False
    else:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _noise(value: Any, batch_size: int) -> Any:
    """Return an array for an input of the graph: its symbolic axes are the batch."""
    shape = [size if isinstance(size, int) else batch_size for size in value.shape]
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return noise(shape, {"float": "float32", "double": "float64"}.get(kind) or str(kind))


def noise(shape: list[int], kind: str) -> Any:
    """Return an array of numpy's type `kind`: random where it is float32, else zeros."""
    import numpy as np

    if kind == "float32":
        return np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    return np.zeros(shape, dtype=kind)
