"""Fused attention."""

from __future__ import annotations

from torch import fx

from nas.derive.labels.labels import Labels, Normalised, Tables
from nas.derive.labels.rules.linear import of_attention
from nas.derive.labels.rules.registry import rule


@rule("scaled_dot_product_attention")
def scaled_dot_product_attention(
    labels: Labels,
    node: fx.Node,
    query: fx.Node,
    key: fx.Node,
    value: fx.Node,
    attn_mask: fx.Node | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tables | None:
    """Leading axes of all three exist together; keys have a softmax over them; without a scale it follows the size."""
    q, k, v = labels.of(query), labels.of(key), labels.of(value)
    if enable_gqa and labels.shape(query)[-3] != labels.shape(key)[-3]:
        return None
    lead = [labels.unify(node, *tables) for tables in zip(q[:-2], k[:-2], v[:-2], strict=True)]
    labels.unify(node, k[-2], v[-2])
    labels.conditions.freeze(k[-2], "has a softmax over it")
    if attn_mask is not None:
        mask, shape = labels.of(attn_mask), labels.shape(attn_mask)
        for axis in range(-len(shape), 0):
            if shape[axis] != 1:
                labels.unify(node, [*lead, q[-2], None][axis], mask[axis])
    size = labels.unify(node, q[-1], k[-1])
    kind = "contract" if scale is not None else "scale"
    labels.normalised[node] = Normalised(query, kind, (len(q) - 1,), is_mean=scale is None)
    of_attention(labels, lead[1:], size, v[-1])
    rows = [*labels.axes(query)[:-1], (None, labels.shape(key)[-2])]
    labels.count(node, 1, *rows, (size, labels.shape(query)[-1]))
    labels.count(node, 1, *rows, (v[-1], labels.shape(value)[-1]))
    return [*lead, q[-2], v[-1]]
