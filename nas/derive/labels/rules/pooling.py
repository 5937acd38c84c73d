"""Pooling and resampling: spatial axes stay, channels pass."""

from __future__ import annotations

from itertools import product
from typing import Any

from torch import fx

from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import rule
from nas.derive.labels.trace import name_of

_KINDS = ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool", "fractional_max_pool")
_SAMPLED = (
    "nearest1d nearest2d nearest3d linear1d bilinear2d trilinear3d bicubic2d bilinear2d_aa bicubic2d_aa "
    "nearest_exact1d nearest_exact2d nearest_exact3d"
)


@rule(
    *(f"{kind}{n}d{tail}" for kind, n, tail in product(_KINDS, (1, 2, 3), ("", "_with_indices"))),
    *(f"{lead}upsample_{kind}" for lead, kind in product(("", "_"), _SAMPLED.split())),
)
def pool(labels: Labels, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Tables:
    """Windows over the spatial axes."""
    spatial = next(n for n in (1, 2, 3) if f"{n}d" in name_of(node))
    labels.freeze(x, range(-spatial, 0), "is a spatial axis of pooling")
    tables: Tables = [*labels.of(x)[:-spatial], *[None] * spatial]
    several = len(labels.shapes(node) or [])
    return [list(tables) for _ in range(several)] if isinstance(node.meta["val"], tuple) else tables


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(labels: Labels, node: fx.Node, x: fx.Node, grid: fx.Node, *_: Any) -> Tables:
    """Values at places that the grid says."""
    tables = labels.of(x)
    labels.freeze(x, range(2, len(tables)), "is a spatial axis of sampling")
    labels.freeze(grid, range(1, len(tables)), "holds places")
    labels.unify(node, tables[0], labels.of(grid)[0])
    return [*tables[:2], *[None] * (len(tables) - 2)]
