"""Weights of few bits in ONNX files: integers and scales in the place of floats.

A network is exported with floats; each initializer that holds a quantized weight, as it is or transposed, is found by
its numbers and put in as integers. How they become floats again decides the speed in ONNX Runtime 1.31, measured on x86
with AVX-512 (tests/benchmarks/bench_bits.py):

- Behind `DequantizeLinear`, the weight of a matrix product is multiplied as integers (ONNX Runtime makes it
  `MatMulNBits`, which also rounds the other factor to 8 bits, block by block: outputs change by about half a percent).
  That is quicker than floats from some 256 inputs on with 8 bits (1.2 to 1.9 times), from 512 on with 4 (1.1 to 1.3
  times), and up to 5 times for a single row. With 8 bits blocks of 128 are 1.3 times as quick as a scale a column.
- Smaller matrices are quicker as floats, and a convolution behind `DequantizeLinear` is unpacked anew at every run.
  Theirs are unpacked by `Cast` and `Mul`, which ONNX Runtime computes once, when it opens the file: the file is small,
  time and memory are those of floats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.elastic import quantize, quantized_layers
from nas.elastic.modules.quantize import BLOCK
from nas.errors import NasError

if TYPE_CHECKING:
    from torch import nn

FEWEST_INPUTS = {8: 256, 4: 512}
"""From how many inputs on a matrix product is computed with integers."""
_BLOCK = {8: 128, 4: BLOCK}
_OPSET = 21  # the first with four bits and blocks
_IR_VERSION = 10


@dataclass(frozen=True)
class _Weight:
    """A quantized weight: integers (outputs, inputs), scales (outputs, blocks), the shape of the float weight."""

    whole: np.ndarray
    scale: np.ndarray
    bits: int
    shape: tuple[int, ...]

    @property
    def floats(self) -> np.ndarray:
        """The weight that floats hold, (outputs, inputs)."""
        scale = self.scale.astype(np.float32)
        return self.whole * (scale if self.bits == 8 else np.repeat(scale, BLOCK, axis=1)[:, : self.inputs])

    @property
    def inputs(self) -> int:
        return self.whole.shape[1]


def with_integers(model: Any, module: nn.Module) -> Any:
    """Put the weights of few bits of `module` into its ONNX `model` as integers, in place, and return it.

    Raises `NasError` where a weight is not found among the initializers.
    """
    from onnx import TensorProto

    graph, known, wanted = model.graph, {}, []
    for weight in _weights(module):
        keys = {_key(floats): (weight, turned) for floats, turned in _as_floats(weight)}
        known |= keys
        wanted.append((weight, {*keys}))
    if not known:
        return model
    places, nodes, met = [], [], set()
    for place, tensor in enumerate(graph.initializer):
        key = _key_of(tensor) if tensor.data_type == TensorProto.FLOAT else None
        if key in known:
            places.append((place, *known[key]))
            met.add(key)
    for weight, keys in wanted:
        if not met & keys:
            raise NasError(
                f"a weight of shape {weight.shape} and {weight.bits} bits was changed by the exporter; give the "
                "network 32 bits there"
            )
    for place, weight, turned in reversed(places):
        name, dims = graph.initializer[place].name, [*graph.initializer[place].dims]
        del graph.initializer[place]
        nodes += _unpacked(graph, name, dims, weight, turned)
    rest = [*graph.node]
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    _raise_opset(model)
    return model


def _weights(module: nn.Module) -> Iterator[_Weight]:
    for _, layer in quantized_layers(module):
        whole, scale = (x.cpu().numpy() for x in quantize(layer.weight, layer.bits))
        yield _Weight(whole, scale, layer.bits, tuple(layer.weight.shape))


def _as_floats(weight: _Weight) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the floats of a weight as an initializer may hold them, and whether they are transposed."""
    floats = weight.floats
    yield floats.reshape(weight.shape), False
    if len(weight.shape) == 2:
        yield floats.T, True


def _key(floats: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return floats.shape, hashlib.sha256(np.ascontiguousarray(floats, np.float32).tobytes()).digest()


def _key_of(tensor: Any) -> tuple[tuple[int, ...], bytes]:
    from onnx import numpy_helper

    return _key(numpy_helper.to_array(tensor))


def _unpacked(graph: Any, name: str, dims: list[int], weight: _Weight, turned: bool) -> list[Any]:
    """Add the integers of the initializer `name` to the graph; return the nodes that make floats of them."""
    users = [node for node in graph.node if name in node.input]
    products = [_takes_product(node, name, turned) for node in users]
    if weight.inputs >= FEWEST_INPUTS[weight.bits] and len(weight.shape) == 2 and all(products):
        for node in users:
            _turn(node)
        return _dequantized(graph, name, weight)
    return _folded(graph, name, dims, weight, turned)


def _takes_product(node: Any, name: str, turned: bool) -> bool:
    """Whether a node multiplies by a weight (inputs, outputs), or can be told to."""
    if len(node.input) < 2 or node.input[1] != name or node.input[0] == name:
        return False
    return (node.op_type == "MatMul" and turned) or (
        node.op_type == "Gemm" and _is_transposed(node) != turned
    )


def _is_transposed(node: Any) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _turn(node: Any) -> None:
    """Let a Gemm take its weight as (inputs, outputs): only so ONNX Runtime multiplies integers."""
    for attribute in node.attribute:
        if node.op_type == "Gemm" and attribute.name == "transB":
            attribute.i = 0


def _dequantized(graph: Any, name: str, weight: _Weight) -> list[Any]:
    """Return nodes that give the weight (inputs, outputs) in blocks of inputs."""
    from onnx import helper

    scale, block = weight.scale, _BLOCK[weight.bits]
    if weight.bits == 8:
        blocks = -(-weight.inputs // block)
        scale = np.repeat(scale, blocks, axis=1)
    _add(graph, f"{name}.scale", np.ascontiguousarray(scale.T))
    _add_integers(graph, f"{name}.integers", weight.whole.T, weight.bits)
    scales, nodes = _float_scales(name, scale)
    inputs = [f"{name}.integers", scales]
    return [*nodes, helper.make_node("DequantizeLinear", inputs, [name], axis=0, block_size=block)]


def _folded(graph: Any, name: str, dims: list[int], weight: _Weight, turned: bool) -> list[Any]:
    """Return nodes that give the weight in its own layout and are computed once, when the file is opened."""
    from onnx import TensorProto, helper

    outputs, inputs = weight.whole.shape
    scale = weight.scale[:, :, None] if weight.bits == 4 else weight.scale
    _add_integers(graph, f"{name}.integers", weight.whole, weight.bits)
    _add(graph, f"{name}.scale", scale)
    scales, nodes = _float_scales(name, scale)
    last = f"{name}.integers"

    def step(kind: str, values: Sequence[Any] = (), output: str = "", **attributes: Any) -> None:
        nonlocal last
        own = output or f"{name}.step{len(nodes)}"
        extra = []
        for place, value in enumerate(values):
            if not isinstance(value, str):
                _add(graph, f"{own}.input{place}", np.array(value, np.int64))
            extra.append(value if isinstance(value, str) else f"{own}.input{place}")
        nodes.append(helper.make_node(kind, [last, *extra], [own], **attributes))
        last = own

    step("Cast", to=TensorProto.FLOAT)
    if weight.bits == 4:  # a block has an axis of its own, the last one is filled up
        if inputs % BLOCK:
            step("Pad", [(0, 0, 0, -inputs % BLOCK)])
        step("Reshape", [(outputs, -1, BLOCK)])
    step("Mul", [scales])
    if weight.bits == 4 and inputs % BLOCK:
        step("Reshape", [(outputs, -1)])
        step("Slice", [(0,), (inputs,), (1,)])
    if turned:
        step("Reshape", [(outputs, inputs)])
        step("Transpose", perm=[1, 0])
    step("Reshape", [dims], output=name)
    return nodes


def _float_scales(name: str, scale: np.ndarray) -> tuple[str, list[Any]]:
    """Return the name of the scales as float32, and the node that makes them so where they are stored smaller."""
    from onnx import TensorProto, helper

    if scale.dtype == np.float32:
        return f"{name}.scale", []
    output = f"{name}.scale32"
    return output, [helper.make_node("Cast", [f"{name}.scale"], [output], to=TensorProto.FLOAT)]


def _add(graph: Any, name: str, values: np.ndarray) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(values, name))


def _add_integers(graph: Any, name: str, whole: np.ndarray, bits: int) -> None:
    from onnx import TensorProto, helper

    if bits == 8:
        _add(graph, name, np.ascontiguousarray(whole))
        return
    flat = whole.flatten().view(np.uint8) & 15
    flat = np.pad(flat, (0, len(flat) % 2))
    data = (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
    graph.initializer.append(helper.make_tensor(name, TensorProto.INT4, whole.shape, data, raw=True))


def _raise_opset(model: Any) -> None:
    """Declare the operators of opset 21; of those that exporters write only group norm changed its meaning there."""
    if any(node.op_type == "GroupNormalization" for node in model.graph.node):
        raise NasError("the exporter wrote a GroupNormalization, which opset 21 defines anew; use 32 bits")
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, _OPSET)
    model.ir_version = max(model.ir_version, _IR_VERSION)
