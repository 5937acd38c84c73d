"""Once-for-all ResNet-50 (He et al. 2016, 2019; Cai et al. 2020): elastic width, expansion, depth and resolution.

A width is a multiplier of the largest network's, an expansion the share of a block's outputs that its inner
convolutions have, a depth the number of blocks of a stage, or of convolutions of the stem.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import nn

from nas.elastic import Divided, Elastic, Fixed, Layout, Length, Part, Scaled, make_divisible
from nas.families.blocks import Bottleneck, ConvNormAct, ResidualConv, conv_axes
from nas.families.once_for_all import RESOLUTIONS, OnceForAll, checked_options, within_depth
from nas.space import Choice, Dimension, SearchSpace, Subnet

STEM, WIDTHS, STRIDES = 64, (256, 512, 1024, 2048), (1, 2, 2, 2)
DEPTHS = ((2, 3, 4), (2, 3, 4), (4, 5, 6), (2, 3, 4))
MULTIPLIERS = (0.65, 0.8, 1.0)
EXPANDS = (0.2, 0.25, 0.35)
STEM_DEPTHS = (2, 3)


class ResNet50(OnceForAll):
    """The space published for ImageNet; another `width` than 1 is for training it anew."""

    name = "ofa-resnet50"
    layers = ("stem", "max_pool", "stages", "pool", "flatten", "dropout", "classifier")

    def __init__(
        self, width: float = 1.0, classes: int = 1000, resolutions: Sequence[int] = RESOLUTIONS
    ) -> None:
        self.options = checked_options(width, classes, resolutions)
        self.classes = classes
        self._stem = Scaled(make_divisible(STEM * width), "stem.width")
        self._stem_inner = Divided(Scaled(self._stem.of, "stem.inner"), 2)
        self._widths = [
            Scaled(make_divisible(full * width), f"stage{s}.width") for s, full in enumerate(WIDTHS, 1)
        ]
        self.space = self._space(resolutions)

    def _space(self, resolutions: Sequence[int]) -> SearchSpace:
        dimensions = [
            Dimension("resolution", tuple(resolutions)),
            Dimension("stem.depth", STEM_DEPTHS),
            Dimension("stem.inner", _multipliers(self._stem_inner)),
            Dimension("stem.width", _multipliers(self._stem)),
        ]
        for s, (width, depths) in enumerate(zip(self._widths, DEPTHS, strict=True), 1):
            dimensions += [
                Dimension(f"stage{s}.width", _multipliers(width)), Dimension(f"stage{s}.depth", depths)
            ]  # fmt: skip
            dimensions += [
                Dimension(f"stage{s}.block{b}.expand", EXPANDS, within_depth(s, b, depths))
                for b in range(1, depths[-1] + 1)
            ]
        return SearchSpace(self.name, dimensions)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        parts, inputs = self._stem_parts(), self._stem
        for s, (outputs, depths) in enumerate(zip(self._widths, DEPTHS, strict=True), 1):
            for b in range(1, depths[-1] + 1):
                parts.append(_block(s, b, inputs, outputs))
                inputs = outputs
        last = inputs
        layouts = {"weight": Layout((Fixed(self.classes), _axis(last)))}
        return (*parts, Part("classifier", lambda chosen: nn.Linear(last(chosen), self.classes), layouts))

    def _stem_parts(self) -> list[Part]:
        inner, outputs = self._stem_inner, self._stem
        narrow, wide = Elastic("stem.inner", inner), _axis(outputs)
        return [
            Part(
                "stem.0",
                lambda chosen: ConvNormAct(self.channels, inner(chosen), 3, stride=2, act="relu"),
                conv_axes(narrow, Fixed(self.channels), 3),
            ),
            Part(
                "stem.1",
                lambda chosen: ResidualConv(inner(chosen), inner(chosen), 3, act="relu"),
                conv_axes(narrow, narrow, 3),
                active_if=("stem.depth", STEM_DEPTHS[-1:]),
            ),
            Part(
                "stem.2",
                lambda chosen: ConvNormAct(inner(chosen), outputs(chosen), 3, act="relu"),
                conv_axes(wide, narrow, 3),
            ),
        ]

    def published_subnet(
        self, d: Sequence[int], e: Sequence[float], w: Sequence[int], resolution: int
    ) -> Subnet:
        """Return the subnet that `set_active_subnet(d, e, w)` activates in the published code, at `resolution`."""
        names = ("stem.inner", "stem.width", *(f"stage{s}.width" for s in range(1, 5)))
        choices: dict[str, Choice] = {"resolution": resolution, "stem.depth": 3 if d[0] == 2 else 2}
        for name, index in zip(names, w, strict=True):
            # Of multipliers that give one width the space has the largest.
            choices[name] = next(c for c in self.space[name].choices if float(c) >= MULTIPLIERS[index])
        for s, depths in enumerate(DEPTHS, 1):
            choices[f"stage{s}.depth"] = depths[d[s]]
        expands = (name for name in self.space.names if name.endswith(".expand"))
        return self.space.subnet(choices | dict(zip(expands, e, strict=True)))


def _axis(width: Scaled) -> Elastic:
    return Elastic(width.by, width)


def _multipliers(width: Length) -> tuple[float, ...]:
    """Return the multipliers that give different widths, of equal ones the largest."""
    (name,) = width.dimensions
    return tuple({width({name: factor}): factor for factor in MULTIPLIERS}.values())


def _block(s: int, b: int, inputs: Scaled, outputs: Scaled) -> Part:
    """Return block `b` of stage `s`; the two inner widths are equal, but sorted each on its own."""
    prefix, downsample = f"stage{s}.block{b}", b == 1
    inner = Scaled(outputs, f"{prefix}.expand")
    first, second = (Elastic(f"{prefix}.inner{i}", inner) for i in (1, 2))
    layouts = (
        conv_axes(first, _axis(inputs), path="conv1.")
        | conv_axes(second, first, 3, "conv2.")
        | conv_axes(_axis(outputs), second, path="conv3.")
    )
    if downsample:
        layouts |= conv_axes(_axis(outputs), _axis(inputs), path="downsample.")
    return Part(
        f"stages.{s}.{b}",
        lambda chosen: Bottleneck(
            inputs(chosen),
            inner(chosen),
            outputs(chosen),
            stride=STRIDES[s - 1] if downsample else 1,
            downsample=downsample,
        ),
        layouts,
        active_if=within_depth(s, b, DEPTHS[s - 1]),
    )
