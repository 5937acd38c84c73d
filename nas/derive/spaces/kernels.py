"""Kernels: a convolution with "same" padding may be cropped to the centre of its kernel, with as much less padding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import arguments_of, name_of, path_of

SMALLEST = 3
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_PADS = ("pad", "constant_pad_nd")


@dataclass(frozen=True)
class ElasticKernel:
    """A kernel that may be smaller.

    Attributes:
        tensor: the name of the weight.
        size: along each axis of the full kernel.
        axes: of the weight that are the kernel's.
        steps: the convolutions of the weight, and what pads their inputs, with the dilation.
    """

    tensor: str
    size: int
    axes: tuple[int, ...]
    steps: Mapping[fx.Node, int]

    @property
    def dimension(self) -> str:
        """The name of the dimension that is its size."""
        return f"{self.tensor.removeprefix('model.').rpartition('.')[0]}.kernel"

    @property
    def choices(self) -> tuple[int, ...]:
        """The sizes that are offered, ascending."""
        return tuple(range(SMALLEST, self.size + 1, 2))


def elastic_kernels(labels: Labels) -> list[ElasticKernel]:
    """Return the kernels of odd size above 3, equal along all axes, that are padded by what a smaller one needs less.

    The padding is the convolution's own, or that of a pad by zeros in front of it in the same module, as code that
    follows TensorFlow's "same" computes it from the sizes of input and kernel.
    """
    trace = labels.trace
    readers: dict[str, list[tuple[fx.Node, fx.Node]]] = defaultdict(list)
    for node in trace.graph.nodes:
        for operand in node.all_input_nodes:
            if (name := trace.names.get(operand)) is not None:
                readers[trace.same.get(name, name)].append((node, operand))
    found = []
    for tensor, pairs in readers.items():
        lengths = trace.state[tensor].shape[2:]
        if len({*lengths}) != 1 or lengths[0] <= SMALLEST or lengths[0] % 2 == 0:
            continue
        each = [_padding(node, weight, lengths[0]) for node, weight in pairs]
        if all(each):
            steps = {step: dilation for own in each for step, dilation in own.items()}
            found.append(ElasticKernel(tensor, lengths[0], tuple(range(2, 2 + len(lengths))), steps))
    return found


def _padding(node: fx.Node, weight: fx.Node, size: int) -> dict[fx.Node, int]:
    """Return a convolution with what pads its input; nothing where a smaller kernel is no centre of it."""
    given = arguments_of(node) if name_of(node) in _CONVOLUTIONS else {}
    padding, dilations = given.get("padding", [0]), {*given.get("dilation", [1])}
    if given.get("weight") is not weight or len(dilations) != 1:
        return {}
    (dilation,) = dilations
    least = dilation * (size - SMALLEST) // 2
    if padding == "same" or (isinstance(padding, Sequence) and _at_least(padding, least)):
        return {node: dilation}
    pad = given["input"]
    if padding == "valid" or any(padding) or name_of(pad) not in _PADS or {*pad.users} != {node}:
        return {}
    told = arguments_of(pad)
    is_zero = told.get("mode", "constant") == "constant" and not told.get("value")
    if is_zero and path_of(pad) == path_of(node) and _at_least(told["pad"], least):
        return {node: dilation, pad: dilation}
    return {}


def _at_least(widths: Sequence[int] | str, least: int) -> bool:
    return not isinstance(widths, str) and min(widths) >= least
