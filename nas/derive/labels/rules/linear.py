"""Products of matrices: contracted axes exist together, free axes stay."""

from __future__ import annotations

from typing import Any

from torch import fx

from nas.derive.labels.labels import Labels, Normalised, Tables
from nas.derive.labels.rules.registry import rule


@rule("linear")
def linear(labels: Labels, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None = None) -> Tables:
    """Inputs meet the weight's second axis; outputs are its first, and the bias's."""
    tables, own = labels.of(x), labels.of(weight)
    labels.unify(node, tables[-1], own[1])
    out = own[0] if bias is None else labels.unify(node, own[0], labels.of(bias)[0])
    contract(labels, node, x, weight)
    labels.count(node, 1, *labels.axes(x), (own[0], labels.shape(weight)[0]))
    return [*tables[:-1], out]


def contract(labels: Labels, node: fx.Node, x: fx.Node, other: fx.Node) -> None:
    """Note that two activations are multiplied and summed over the last axis of the first."""
    if labels.is_activation(other) and labels.is_activation(x):
        labels.normalised[node] = Normalised(x, "contract", (len(labels.shape(x)) - 1,), is_mean=False)


@rule("matmul", "mm", "bmm")
def matmul(labels: Labels, node: fx.Node, a: fx.Node, b: fx.Node, out_dtype: Any = None) -> Tables:
    """The last axis of the first meets the last but one of the second; axes before these are a batch."""
    left, right, left_shape, right_shape = labels.of(a), labels.of(b), labels.shape(a), labels.shape(b)
    inner = labels.unify(node, left[-1], right[-2] if len(right) > 1 else right[0])
    contract(labels, node, a, b)
    tail = (left[-2:-1] if len(left) > 1 else []) + (right[-1:] if len(right) > 1 else [])
    lead: Tables = []
    for axis in range(-(len(labels.shape(node)) - len(tail)) - 2, -2):
        sides = ((left, left_shape), (right, right_shape))
        met = [t[axis] for t, shape in sides if len(shape) >= -axis and shape[axis] != 1]
        lead.append(labels.unify(node, *met) if met else None)
    out = [*lead, *tail]
    labels.count(node, 1, *zip(out, labels.shape(node), strict=True), (inner, left_shape[-1]))
    if labels.is_activation(a) and labels.is_activation(b) and len(left) > 2 and len(right) > 2:
        of_attention(labels, lead[1:], inner, right[-1])
    return out


def of_attention(labels: Labels, heads: Tables, *sizes: Any) -> None:
    """Note the roles of axes in a product of two activations: batch axes are heads, what is summed is a head's size."""
    labels.roles += [("heads", table) for table in heads] + [("head_size", table) for table in sizes]


@rule("addmm", "baddbmm")
def addmm(
    labels: Labels, node: fx.Node, c: fx.Node, a: fx.Node, b: fx.Node, beta: Any = 1, alpha: Any = 1
) -> Tables:
    """A product, and a summand that broadcasts."""
    out: Any = matmul(labels, node, a, b)
    own, shape = labels.of(c), labels.shape(node)
    sizes = labels.shape(c)
    for axis in range(-len(own), 0):
        if sizes[axis] == shape[axis] != 1:
            out[axis] = labels.unify(node, out[axis], own[axis])
    return out


@rule("einsum")
def einsum(
    labels: Labels, node: fx.Node, equation: str, tensors: list[fx.Node], path: Any = None
) -> Tables | None:
    """Axes of one letter exist together."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    if "." in equation or not arrow:
        return None
    known: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for letters, tensor in zip(inputs.split(","), tensors, strict=True):
        for letter, table, size in zip(letters, labels.of(tensor), labels.shape(tensor), strict=True):
            if size == 1 and lengths.get(letter, 1) != 1:
                continue
            is_first = lengths.get(letter, 1) == 1
            known[letter] = table if is_first else labels.unify(node, known[letter], table)
            lengths[letter] = size
    summed = [letter for letter in known if letter not in output]
    if len(tensors) == 2 and all(map(labels.is_activation, tensors)):
        first = inputs.split(",")[0]
        axes = tuple(first.index(letter) for letter in summed if letter in first)
        labels.normalised[node] = Normalised(tensors[0], "contract", axes, is_mean=False)
        shared = [letter for letter in output[1:] if all(letter in own for own in inputs.split(","))]
        of_attention(labels, [known[letter] for letter in shared], *(known[letter] for letter in summed))
    labels.count(node, 1, *((known[letter], lengths[letter]) for letter in known))
    return [known[letter] for letter in output]


@rule("outer", "ger")
def outer(labels: Labels, node: fx.Node, a: fx.Node, b: fx.Node) -> Tables:
    """Both axes stay."""
    return [*labels.of(a), *labels.of(b)]


@rule("embedding")
def embedding(labels: Labels, node: fx.Node, weight: fx.Node, index: fx.Node, *_: Any, **__: Any) -> Tables:
    """Rows are looked up by number, which a subnet's input does not change."""
    labels.freeze(weight, [0], "is looked up by the input")
    return [*labels.of(index), labels.of(weight)[1]]
