"""Element-wise operations: operands broadcast, and axes of equal length exist together."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import POINTWISE, rule
from nas.derive.labels.trace import name_of

_TOO = (
    "contiguous to _to_copy detach alias dropout feature_dropout lift_fresh lift_fresh_copy type_as cpu zeros_like "
    "ones_like full_like empty_like rand_like randn_like fill zero relu6 hardswish mish bernoulli floor_divide div "
    "native_dropout alpha_dropout rrelu __and__ __or__ masked_fill where copy expand_as _prelu_kernel "
    "log_sigmoid gelu add sub mul rsub pow threshold gt eq isnan clone"
)
"""Names that torch does not tag as element-wise, or tags for some overloads only."""


@rule(POINTWISE, *_TOO.split())
def pointwise(labels: Labels, node: fx.Node, *_: Any, **__: Any) -> Tables:
    """Operands broadcast; a sum of a value and what is computed from it is a residual stream."""
    operands = [each for each in node.all_input_nodes if isinstance(each.meta.get("val"), Tensor)]
    tables = labels.broadcast(node, operands, labels.shape(node))
    if name_of(node) == "add" and len(operands) == 2 and all(map(labels.is_activation, operands)):
        first, second = operands
        if labels.is_branch(first, second) or labels.is_branch(second, first):
            labels.roles += [("stream", table) for table in tables]
    return tables


@rule("prelu")
def prelu(labels: Labels, node: fx.Node, x: fx.Node, weight: fx.Node) -> Tables:
    """Slopes are those of channels, the second axis, or one for all."""
    tables = labels.of(x)
    if labels.shape(weight) != [1] and len(tables) > 1:
        tables[1] = labels.unify(node, tables[1], labels.of(weight)[0])
    return tables
