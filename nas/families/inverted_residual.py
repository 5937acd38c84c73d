"""Supernets of inverted residuals (Sandler et al. 2018): elastic kernel, expansion, depth and resolution.

Source: Cai et al. 2020, "Once-for-All: Train One Network and Specialize it for Efficient Deployment".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from nas.elastic import (
    Chosen,
    Divided,
    Elastic,
    Fixed,
    Kernel,
    Layout,
    Length,
    LengthChoices,
    Part,
    Scaled,
    make_divisible,
)
from nas.families.blocks import ConvNormAct, MBConv, conv_axes
from nas.families.once_for_all import RESOLUTIONS, OnceForAll, within_depth
from nas.space import Dimension, SearchSpace, Subnet


@dataclass(frozen=True)
class StageShape:
    """Blocks at one resolution: width, stride of the first, activation, gate, and the choices of each."""

    width: int
    stride: int
    act: str
    squeeze: bool = False
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    depths: tuple[int, ...] = (2, 3, 4)


@dataclass(frozen=True)
class Shape:
    """The numbers of a supernet; widths are final (already multiplied and rounded), `head` those after the stages."""

    stem: int
    stem_stride: int
    first: int
    first_stride: int
    stages: tuple[StageShape, ...]
    head: tuple[int, ...]
    resolutions: tuple[int, ...] = RESOLUTIONS
    classes: int = 1000
    channels: int = 3
    dropout: float = 0.0
    act: str = "hswish"
    first_act: str = "relu"
    eps: float = 1e-5

    def scaled(self, width: float) -> Shape:
        """Multiply every width and round it to a multiple of 8."""

        def multiplied(channels: int) -> int:
            return make_divisible(channels * width)

        stages = tuple(replace(stage, width=multiplied(stage.width)) for stage in self.stages)
        stem, first = multiplied(self.stem), multiplied(self.first)
        return replace(self, stem=stem, first=first, stages=stages, head=tuple(map(multiplied, self.head)))


class InvertedResidual(OnceForAll):
    """A supernet of one `Shape`; a subclass says what stands after the stages."""

    def __init__(self, name: str, shape: Shape, options: Mapping[str, object]) -> None:
        self.name = name
        self.shape = shape
        self.options = dict(options)
        self.channels, self.dropout = shape.channels, shape.dropout
        self.space = _space(name, shape)

    def head(self, inputs: int) -> Sequence[Part]:
        """Return the parts after the stages, which give `inputs` channels."""
        raise NotImplementedError

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        shape = self.shape

        def stem(_: LengthChoices) -> nn.Module:
            return ConvNormAct(
                shape.channels, shape.stem, 3, stride=shape.stem_stride, act=shape.act, eps=shape.eps
            )

        def first(_: LengthChoices) -> nn.Module:
            stride, act = shape.first_stride, shape.first_act
            return MBConv(
                shape.stem, shape.first, kernel=3, expanded=None, stride=stride, act=act, eps=shape.eps
            )

        blocks, inputs = [], shape.first
        for s, stage in enumerate(shape.stages, 1):
            for b in range(1, max(stage.depths) + 1):
                blocks.append(_block(s, b, stage, inputs, shape.eps))
                inputs = stage.width
        return (Part("stem", stem), Part("first", first), *blocks, *self.head(inputs))

    @property
    def blocks(self) -> list[str]:
        return ["first", *super().blocks]

    def published_subnet(
        self, ks: Sequence[int], e: Sequence[int], d: Sequence[int], resolution: int
    ) -> Subnet:
        """Return the subnet that `set_active_subnet(ks, e, d)` activates in the published code, at `resolution`."""
        choices: dict[str, int] = {"resolution": resolution}
        entry = 0
        for s, stage in enumerate(self.shape.stages, 1):
            if len(stage.depths) > 1:
                choices[f"stage{s}.depth"] = d[s - 1]
            for b in range(1, max(stage.depths) + 1):
                choices[f"stage{s}.block{b}.kernel"] = ks[entry]
                choices[f"stage{s}.block{b}.expand"] = e[entry]
                entry += 1
        return self.space.subnet(choices)


def _space(name: str, shape: Shape) -> SearchSpace:
    """Return the space: resolution, and for each stage its depth and every block's kernel and expansion."""
    dimensions = [Dimension("resolution", shape.resolutions)]
    for s, stage in enumerate(shape.stages, 1):
        if len(stage.depths) > 1:
            dimensions.append(Dimension(f"stage{s}.depth", stage.depths))
        for b in range(1, max(stage.depths) + 1):
            active_if = within_depth(s, b, stage.depths)
            dimensions.append(Dimension(f"stage{s}.block{b}.kernel", stage.kernels, active_if))
            dimensions.append(Dimension(f"stage{s}.block{b}.expand", stage.expands, active_if))
    return SearchSpace(name, dimensions)


def _block(s: int, b: int, stage: StageShape, inputs: int, eps: float) -> Part:
    """Return block `b` of stage `s`: expanded and squeezed channels and the kernel are elastic."""
    prefix = f"stage{s}.block{b}"
    wide = Scaled(inputs, f"{prefix}.expand")
    narrow = Divided(wide, 4)
    kernel = Chosen(f"{prefix}.kernel")

    def build(choices: LengthChoices) -> nn.Module:
        return MBConv(
            inputs,
            stage.width,
            kernel=kernel(choices),
            expanded=wide(choices),
            squeezed=narrow(choices) if stage.squeeze else 0,
            stride=stage.stride if b == 1 else 1,
            act=stage.act,
            residual=b > 1,
            eps=eps,
        )

    steps = list(zip(stage.kernels[1:], stage.kernels[:-1], strict=True))
    matrices = {(larger, smaller): f"matrix_{larger}to{smaller}" for larger, smaller in steps}
    return Part(
        f"stages.{s}.{b}",
        build,
        _block_axes(prefix, stage, inputs, wide, narrow, Kernel(kernel, matrices)),
        active_if=within_depth(s, b, stage.depths),
        matrices={f"depthwise.conv.{name}": smaller**2 for (_, smaller), name in matrices.items()},
    )


def _block_axes(
    prefix: str, stage: StageShape, inputs: int, wide: Length, narrow: Length, kernel: Kernel
) -> dict[str, Layout]:
    expanded, squeezed = Elastic(f"{prefix}.expanded", wide), Elastic(f"{prefix}.squeezed", narrow)
    one = Fixed(1)
    layouts = (
        conv_axes(expanded, Fixed(inputs), path="expand.")
        | conv_axes(expanded, one, stage.kernels[-1], "depthwise.", kernel)
        | conv_axes(Fixed(stage.width), expanded, path="project.")
    )
    if stage.squeeze:
        layouts |= {
            "squeeze.reduce.weight": Layout((squeezed, expanded, one, one)),
            "squeeze.reduce.bias": Layout((squeezed,)),
            "squeeze.expand.weight": Layout((expanded, squeezed, one, one)),
            "squeeze.expand.bias": Layout((expanded,)),
        }
    return layouts
