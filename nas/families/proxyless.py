"""Once-for-all ProxylessNAS (Cai et al. 2019, 2020): elastic kernel, expansion, depth and resolution.

The published supernet has the width multiplier 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from nas.elastic import Part
from nas.families.blocks import ConvNormAct
from nas.families.inverted_residual import InvertedResidual, Shape, StageShape
from nas.families.once_for_all import RESOLUTIONS, checked_options

PUBLISHED = Shape(
    stem=32,
    stem_stride=2,
    first=16,
    first_stride=1,
    stages=(
        StageShape(24, 2, "relu6"),
        StageShape(40, 2, "relu6"),
        StageShape(80, 2, "relu6"),
        StageShape(96, 1, "relu6"),
        StageShape(192, 2, "relu6"),
        StageShape(320, 1, "relu6", depths=(1,)),
    ),
    head=(1280,),
    act="relu6",
    first_act="relu6",
    eps=1e-3,
)


class Proxyless(InvertedResidual):
    """ProxylessNAS of one `Shape`: features are mixed before they are averaged."""

    layers = ("stem", "first", "stages", "feature_mix", "pool", "flatten", "dropout", "classifier")

    def head(self, inputs: int) -> Sequence[Part]:
        shape, (mixed,) = self.shape, self.shape.head
        return (
            Part("feature_mix", lambda _: ConvNormAct(inputs, mixed, act=shape.act, eps=shape.eps)),
            Part("classifier", lambda _: nn.Linear(mixed, shape.classes)),
        )


def ofa_proxyless(
    width: float = 1.3, classes: int = 1000, resolutions: Sequence[int] = RESOLUTIONS
) -> Proxyless:
    """Return the space published for ImageNet; another `width` than 1.3 is for training it anew."""
    options = checked_options(width, classes, resolutions)
    shape = replace(PUBLISHED, classes=classes, resolutions=tuple(resolutions)).scaled(width)
    return Proxyless("ofa-proxyless", shape, options)
