"""OpenVINO on the processor: reads the ONNX file that `to_onnx` writes, also in bfloat16 where the processor has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.errors import UsageError
from nas.latency.runtimes.base import ArrayFunction, Run
from nas.latency.runtimes.onnxruntime import OnnxFiles, noise
from nas.latency.workload import Workload

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVino(OnnxFiles):
    """OpenVINO's CPU plugin tuned for latency: one stream, as many threads as asked for, shapes known beforehand.

    fp32 is said to it, for on its own it computes in bfloat16 where the processor can. What a weight of few bits is
    multiplied with it rounds to 8 bits, as ONNX Runtime does.
    """

    name = "openvino"
    package = "openvino"
    extra = "openvino"
    precisions = ("fp32", "bf16")

    def require(self, workload: Workload) -> None:
        super().require(workload)
        if workload.precision == "bf16" and "BF16" not in _capabilities():
            raise UsageError(
                "the runtime 'openvino' is asked for bf16, which this processor does not compute in; ask for fp32"
            )

    def load(self, path: Path, workload: Workload) -> Run:
        core = _core()
        model = _read(core, path)
        shapes = {value.any_name: _shape(value, workload.batch_size) for value in model.inputs}
        kinds = {value.any_name: value.element_type.to_dtype().name for value in model.inputs}
        model.reshape(shapes)
        request = _compiled(core, model, workload.threads, workload.precision).create_infer_request()
        feed = {name: noise(shape, kinds[name]) for name, shape in shapes.items()}
        return lambda: request.infer(feed, share_inputs=True)

    def function(self, path: Path, threads: int) -> ArrayFunction:
        core = _core()
        model = _read(core, path)
        names = {value.any_name for value in model.inputs}
        request = _compiled(core, model, threads, "fp32").create_infer_request()
        return lambda feed: request.infer({n: x for n, x in feed.items() if n in names})[0]


def _core() -> Any:
    from importlib import import_module

    return import_module("openvino").Core()


def _read(core: Any, path: Path) -> Any:
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        if "divided by block_size" not in str(error):
            raise
    return core.read_model(_with_whole_blocks(path))


def _with_whole_blocks(path: Path) -> bytes:
    """Return a file with the last blocks of its integers filled up, which OpenVINO asks for and ONNX does not."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model: Any = onnx.load(str(path))
    graph = model.graph
    held, nodes = {tensor.name: tensor for tensor in graph.initializer}, []
    for node in graph.node:
        nodes.append(node)
        block = next((own.i for own in node.attribute if own.name == "block_size"), 0)
        if node.op_type != "DequantizeLinear" or not block or node.input[0] not in held:
            continue
        name, whole = node.output[0], numpy_helper.to_array(held[node.input[0]])
        if missing := -len(whole) % block:
            filled = np.concatenate([whole, np.zeros((missing, *whole.shape[1:]), whole.dtype)])
            held[node.input[0]].CopyFrom(numpy_helper.from_array(filled, node.input[0]))
            ends = {f"{name}.from": 0, f"{name}.to": len(whole), f"{name}.axis": 0}
            graph.initializer.extend(numpy_helper.from_array(np.array([at]), own) for own, at in ends.items())
            node.output[0] = f"{name}.filled"
            nodes.append(helper.make_node("Slice", [node.output[0], *ends], [name]))
    copied = onnx.GraphProto()
    copied.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(copied.node)
    return model.SerializeToString()


def _capabilities() -> list[str]:
    return _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compiled(core: Any, model: Any, threads: int, precision: str) -> Any:
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
    }
    return core.compile_model(model, "CPU", properties)


def _shape(value: Any, batch_size: int) -> list[int]:
    """Return the shape of an input of the graph: its symbolic axes are the batch."""
    return [batch_size if size.is_dynamic else size.get_length() for size in value.partial_shape]
