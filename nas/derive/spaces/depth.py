"""Depth: modules that add something to their own input may be left out, and their input takes their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

from torch import Tensor, fx

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import name_of

_PASSED = frozenset({
    "relu", "relu6", "hardtanh", "hardswish", "silu", "gelu", "elu", "leaky_relu", "dropout", "contiguous",
    "clone", "alias", "permute", "view", "reshape", "transpose", "squeeze", "unsqueeze", "getitem",
    "layer_norm", "rms_norm", "batch_norm", "mul", "div", "to", "flatten", "movedim",
})  # fmt: skip
"""Operations behind a residual sum, or before it, that leave what is summed."""


@dataclass(frozen=True)
class Block:
    """A module that may be left out: its path, what it computes, what stands in for that, and its nodes."""

    path: str
    result: fx.Node
    operand: fx.Node
    nodes: frozenset[fx.Node]

    @property
    def dimension(self) -> str:
        """The name of the dimension that says whether it is there."""
        return f"{self.path.removeprefix('model.')}.kept"


def residual_blocks(labels: Labels, without: Set[str] = frozenset()) -> list[Block]:
    """Return the smallest modules whose one result is their input plus something, of the same shape and labels.

    Those at the paths of `without` are passed over: what holds one may be found instead.
    """
    inside: dict[str, list[fx.Node]] = defaultdict(list)
    for node in labels.trace.graph.nodes:
        stack = node.meta.get("nn_module_stack") if node.op == "call_function" else None
        for path, _ in (stack or {}).values():
            inside[path.split("@")[0]].append(node)
    shared = [pair for pair in labels.trace.same.items() if pair[0] != pair[1]]
    found = [
        block
        for path, nodes in inside.items()
        if path not in without
        and not any(name.startswith(f"{path}.") for pair in shared for name in pair)
        and (block := _block(labels, path, nodes))
    ]
    holders = {path.rpartition(".")[0] for path in without}
    found = [b for b in found if b.path in holders or not any(p.startswith(f"{b.path}.") for p in without)]
    paths = [block.path for block in found]
    return [b for b in found if not any(other.startswith(f"{b.path}.") for other in paths)]


def _block(labels: Labels, path: str, nodes: Sequence[fx.Node]) -> Block | None:
    own = frozenset(nodes)
    results = [n for n in nodes if n is labels.trace.output or any(user not in own for user in n.users)]
    if path in ("", "model") or len(results) != 1 or not isinstance(results[0].meta.get("val"), Tensor):
        return None
    held = (node for node, name in labels.trace.names.items() if name.startswith(f"{path}."))
    if any(user not in own for node in held for user in node.users):
        return None  # what stays reads its weights
    result = results[0]
    has_weights = any(operand in labels.trace.names for node in nodes for operand in node.all_input_nodes)
    operand = _summed(labels, result, own, below_sum=False)
    if operand is None or not has_weights or labels.shape(operand) != labels.shape(result):
        return None
    entries = {
        each for node in nodes for each in node.all_input_nodes if each not in own and each is not operand
    }
    if any(labels.is_activation(each) and labels.descends(each, operand) for each in entries):
        return None  # what is added began outside
    for first, second in zip(labels.of(operand), labels.of(result), strict=True):
        one, other = labels.conditions.resolve(first), labels.conditions.resolve(second)
        if one is None or other is None:
            if one is not other:
                return None
        elif one.shape != other.shape or (one != other).any():
            return None
    return Block(path, result, operand, own)


def _summed(labels: Labels, node: fx.Node, own: frozenset[fx.Node], below_sum: bool) -> fx.Node | None:
    """Walk back from a result to the value from outside that a sum adds to; None if there is none."""
    if node not in own:
        is_value = labels.is_activation(node) and isinstance(node.meta.get("val"), Tensor)
        return node if below_sum and is_value else None
    operands = [each for each in node.all_input_nodes if labels.is_activation(each)]
    if name_of(node) == "add" and len(operands) == 2:
        found = (_summed(labels, each, own, True) for each in operands)
        return next((each for each in found if each is not None), None)
    if name_of(node) in _PASSED and len(operands) == 1:
        return _summed(labels, operands[0], own, below_sum)
    return None
