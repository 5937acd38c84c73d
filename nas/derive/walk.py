"""One walk over a graph: every operation's rule, once; what has no rule is frozen and named."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import fx

from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules import find_rule
from nas.derive.labels.trace import Trace, name_of

OUTPUT = "is the model's output"


def label(trace: Trace) -> Labels:
    """Return the labels of a trace: parameters and buffers start with atoms of their own, inputs are always there."""
    labels = Labels(trace)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * len(trace.graph.nodes)))
    for node in trace.graph.nodes:
        if node in trace.names:
            _place(labels, node, trace.names[node])
        elif node in trace.inputs:
            shape = labels.shape(node)
            first = labels.batch if shape and shape[0] == trace.batch else None
            labels.values[node] = [first, *[None] * (len(shape) - 1)] if shape else []
        elif node.op == "call_function":
            labels.values[node] = _apply(labels, node)
        else:
            labels.values[node] = []
        labels.sources(node)
    tables = labels.of(trace.output)
    for table in tables[1:] if labels.batch is not None else tables:
        labels.conditions.freeze(table, OUTPUT)
    if labels.batch is not None and tables:
        labels.conditions.unify(tables[0], labels.batch, OUTPUT)
    return labels


def _place(labels: Labels, node: fx.Node, name: str) -> None:
    """Give a tensor its tables; the same tensor under another name has the same ones."""
    first = labels.trace.same.get(name, name)
    if first not in labels.tensors:
        shape = labels.trace.state[name].shape
        labels.tensors[first] = [labels.fresh(size) for size in shape]
    labels.values[node] = labels.tensors[name] = labels.tensors[first]


def _apply(labels: Labels, node: fx.Node) -> Tables:
    name, shapes = name_of(node), labels.shapes(node)
    if name == "getitem":
        source, place = node.args
        return labels.values[source][place]  # pyright: ignore
    if shapes is None:
        return []
    rule = find_rule(node)
    tables: Any = None if rule is None else rule(labels, node, *node.args, **node.kwargs)
    if tables is None:
        labels.unknown[name] += 1
        for operand in node.all_input_nodes:
            labels.freeze_all(operand, f"there is no rule for {name}")
        empty = [[None] * len(shape) for shape in shapes]
        tables = empty[0] if isinstance(node.meta["val"], torch.Tensor) else empty
    return tables
