"""Normalisations, softmax and reductions: what takes a mean over an elastic axis is noted as normalised anew."""

from __future__ import annotations

from typing import Any

from torch import fx

from nas.derive.labels.labels import Labels, Normalised, Tables
from nas.derive.labels.rules.registry import rule
from nas.derive.labels.trace import arguments_of, name_of


@rule("batch_norm", "instance_norm")
def batch_norm(labels: Labels, node: fx.Node, x: fx.Node, *tensors: Any, **_: Any) -> Tables:
    """Channels meet scale, shift, mean and variance; with statistics of the batch the other axes are normalised."""
    tables = labels.of(x)
    own = [labels.of(tensor)[0] for tensor in tensors[:4] if isinstance(tensor, fx.Node)]
    channels = labels.unify(node, tables[1], *own)
    uses_statistics = arguments_of(node).get("training", arguments_of(node).get("use_input_stats"))
    if uses_statistics:
        labels.normalised[node] = Normalised(x, "norm", (0, *range(2, len(tables))))
    return [tables[0], channels, *tables[2:]]


@rule("layer_norm", "rms_norm")
def layer_norm(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    shape: Any,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    *_: Any,
    **__: Any,
) -> Tables:
    """The last axes meet scale and shift, and are normalised over."""
    tables, count = labels.of(x), len(shape)
    own = [labels.of(tensor) for tensor in (weight, bias) if isinstance(tensor, fx.Node)]
    last = [labels.unify(node, table, *(o[i] for o in own)) for i, table in enumerate(tables[-count:])]
    labels.normalised[node] = Normalised(x, "norm", tuple(range(len(tables) - count, len(tables))))
    return [*tables[:-count], *last]


@rule("group_norm")
def group_norm(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    groups: int,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    *_: Any,
    **__: Any,
) -> Tables:
    """Channels are group ∧ place in it: whole groups change nothing, fewer places are normalised anew."""
    tables, size = labels.of(x), labels.shape(x)[1] // groups
    own = [labels.of(tensor)[0] for tensor in (weight, bias) if isinstance(tensor, fx.Node)]
    group, place = labels.unflatten(labels.unify(node, tables[1], *own), [groups, size])
    labels.groups[node] = group
    labels.normalised[node] = Normalised(x, "norm", (1,))
    return [tables[0], labels.flatten([group, place], [groups, size]), *tables[2:]]


@rule("softmax", "log_softmax", "_softmax", "_log_softmax")
def softmax(labels: Labels, node: fx.Node, x: fx.Node, dim: int, *_: Any, **__: Any) -> Tables:
    """Every entry changes every other."""
    labels.freeze(x, [dim], "has a softmax over it")
    return labels.of(x)


@rule("cumsum", "cumprod")
def cumulative(labels: Labels, node: fx.Node, x: fx.Node, dim: int, *_: Any, **__: Any) -> Tables:
    """The order of entries matters."""
    labels.freeze(x, [dim], "is summed up in its order")
    return labels.of(x)


@rule("mean", "sum", "amax", "amin", "var", "std", "linalg_vector_norm", "norm", "var_mean", "std_mean")
def reduction(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables | None:
    """Reduced axes go; over elastic ones all but a sum depend on what is left."""
    arguments, tables = arguments_of(node), labels.of(x)
    dims = arguments.get("dim", arguments.get("axis"))
    dims = [dims] if isinstance(dims, int) else [*dims] if dims else [*range(len(tables))]
    dims = [dim % len(tables) for dim in dims] if tables else []
    labels.normalised[node] = Normalised(x, "reduce", tuple(dims), is_mean=name_of(node) != "sum")
    keep = arguments.get("keepdim", False)
    out = [None if d in dims else table for d, table in enumerate(tables) if keep or d not in dims]
    return [out, list(out)] if name_of(node).endswith("_mean") else out


@rule("max", "min", "argmax", "argmin", "topk", "sort", "argsort", "median", "kthvalue", "mode")
def ordering(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables:
    """Which entry it is depends on all of an axis; over no axis in particular, on everything."""
    arguments, tables, shape = arguments_of(node), labels.of(x), labels.shape(x)
    shapes = labels.shapes(node) or []
    dim = arguments.get("dim", -1 if name_of(node) in ("topk", "sort", "argsort") else None)
    if dim is None:
        labels.freeze_all(x, "is compared with all others")
        out: Tables = [None] * len(shapes[0])
    else:
        labels.freeze(x, [dim], "is compared along it")
        is_kept = len(shapes[0]) == len(shape)
        out = [
            None if d == dim % len(shape) else t
            for d, t in enumerate(tables)
            if is_kept or d != dim % len(shape)
        ]
    return [list(out) for _ in shapes] if isinstance(node.meta["val"], tuple | list) else out
