"""Convolutions: channels meet the weight; a grouped one splits channels into group ∧ place in the group."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import fx

from nas.derive.labels.labels import Labels, Tables
from nas.derive.labels.rules.registry import rule


@rule("conv1d", "conv2d", "conv3d")
def convolution(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tables:
    """Weights are (outputs, inputs of a group, *kernel)."""
    return _convolution(labels, node, x, weight, bias, groups, transposed=False)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tables:
    """Weights are (inputs, outputs of a group, *kernel)."""
    return _convolution(labels, node, x, weight, bias, groups, transposed=True)


def _convolution(
    labels: Labels,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None,
    groups: int,
    transposed: bool,
) -> Tables:
    tables, own, sizes = labels.of(x), labels.of(weight), labels.shape(weight)
    spatial = len(sizes) - 2
    labels.freeze(x, range(-spatial, 0), "is a spatial axis of a convolution")
    labels.freeze(weight, range(2, len(sizes)), "is a kernel size")
    channels, inputs = tables[-spatial - 1], labels.shape(x)[-spatial - 1]
    if groups == 1:
        labels.unify(node, channels, own[0] if transposed else own[1])
        out = own[1] if transposed else own[0]
    else:
        group, place = labels.unflatten(channels, [groups, inputs // groups])
        own_group, own_place = labels.unflatten(own[0], [groups, sizes[0] // groups])
        group = labels.groups[node] = labels.unify(node, group, own_group)
        labels.unify(node, place, own_place if transposed else own[1])
        each = (own[1], sizes[1]) if transposed else (own_place, sizes[0] // groups)
        out = labels.flatten([group, each[0]], [groups, each[1]])
    if bias is not None:
        out = labels.unify(node, out, labels.of(bias)[0])
    places = labels.shape(x if transposed else node)[-spatial:]
    lead = labels.axes(x)[: -spatial - 1]
    labels.count(node, prod(places) * prod(sizes[2:]), *lead, *labels.axes(weight)[:2])
    return [*tables[: -spatial - 1], out, *[None] * spatial]


@rule("pixel_shuffle")
def pixel_shuffle(labels: Labels, node: fx.Node, x: fx.Node, factor: int) -> Tables:
    """Channels become pixels: what becomes one channel goes or stays together."""
    tables, channels = labels.of(x), labels.shape(x)[-3]
    channel, pixel = labels.unflatten(tables[-3], [channels // factor**2, factor**2])
    labels.conditions.freeze(pixel, "becomes pixels")
    labels.freeze(x, [-1, -2], "is an axis of pixels")
    return [*tables[:-3], channel, None, None]


@rule("pixel_unshuffle")
def pixel_unshuffle(labels: Labels, node: fx.Node, x: fx.Node, factor: int) -> Tables:
    """Pixels become channels, which go or stay together."""
    tables = labels.of(x)
    channels = None if tables[-3] is None else tables[-3].repeat(factor**2, 0)
    return [*tables[:-3], channels, None, None]


@rule("channel_shuffle")
def channel_shuffle(labels: Labels, node: fx.Node, x: fx.Node, groups: int) -> Tables:
    """Group ∧ place becomes place ∧ group."""
    tables, size = labels.of(x), labels.shape(x)[1] // groups
    group, place = labels.unflatten(tables[1], [groups, size])
    labels.groups[node] = group
    return [tables[0], labels.flatten([place, group], [size, groups]), *tables[2:]]


@rule("unfold")
def unfold(labels: Labels, node: fx.Node, x: fx.Node, dimension: int, size: int, step: int) -> Tables:
    """Windows over an axis."""
    labels.freeze(x, [dimension], "has windows over it")
    return [*labels.of(x), None]


@rule("im2col")
def im2col(labels: Labels, node: fx.Node, x: fx.Node, kernel: Any, *_: Any, **__: Any) -> Tables:
    """Every channel becomes a run of the pixels of a window."""
    tables = labels.of(x)
    run = None if tables[-3] is None else tables[-3].repeat(prod(kernel), 0)
    return [*tables[:-3], run, None]


@rule("col2im")
def col2im(labels: Labels, node: fx.Node, x: fx.Node, size: Any, kernel: Any, *_: Any, **__: Any) -> Tables:
    """A run of the pixels of a window becomes one channel."""
    tables, channels = labels.of(x), labels.shape(x)[-2]
    channel, pixel = labels.unflatten(tables[-2], [channels // prod(kernel), prod(kernel)])
    labels.conditions.freeze(pixel, "becomes pixels")
    return [*tables[:-2], channel, None, None]
