"""Once-for-all MobileNetV3 (Howard et al. 2019; Cai et al. 2020): elastic kernel, expansion, depth and resolution.

The published supernets have the width multipliers 1.0 and 1.2. The small-image variant is the same code with other
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from nas.elastic import Part
from nas.errors import UsageError
from nas.families.blocks import ConvNormAct
from nas.families.inverted_residual import InvertedResidual, Shape, StageShape
from nas.families.once_for_all import RESOLUTIONS, check_positive, checked_options


class MobileNetV3(InvertedResidual):
    """MobileNetV3 of one `Shape`: features are mixed after they were averaged."""

    layers = (
        "stem", "first", "stages", "final_expand", "pool", "feature_mix", "flatten", "dropout", "classifier"
    )  # fmt: skip

    def head(self, inputs: int) -> Sequence[Part]:
        final, mixed = self.shape.head
        return (
            Part("final_expand", lambda _: ConvNormAct(inputs, final, act="hswish")),
            Part("feature_mix", lambda _: ConvNormAct(final, mixed, act="hswish", norm=False)),
            Part("classifier", lambda _: nn.Linear(mixed, self.shape.classes)),
        )


PUBLISHED = Shape(
    stem=16,
    stem_stride=2,
    first=16,
    first_stride=1,
    stages=(
        StageShape(24, 2, "relu"),
        StageShape(40, 2, "relu", squeeze=True),
        StageShape(80, 2, "hswish"),
        StageShape(112, 1, "hswish", squeeze=True),
        StageShape(160, 2, "hswish", squeeze=True),
    ),
    head=(960, 1280),
    dropout=0.1,
)

SMALL_IMAGE = Shape(
    stem=16,
    stem_stride=1,
    first=16,
    # Stage 1 halves the image, with many channels: halving it in `first` lost 1.8 points in a short training.
    first_stride=1,
    # Kernels of 5 only at 8 x 8: elsewhere they took most of a training step on a CPU.
    stages=(
        StageShape(32, 2, "relu", kernels=(3,), expands=(2, 3, 4), depths=(1, 2)),
        StageShape(48, 2, "hswish", squeeze=True, kernels=(3, 5), expands=(2, 3, 4), depths=(1, 2, 3)),
        StageShape(64, 1, "hswish", squeeze=True, kernels=(3, 5), expands=(2, 3, 4), depths=(1, 2, 3)),
        StageShape(96, 2, "hswish", squeeze=True, kernels=(3,), expands=(2, 3, 4), depths=(1, 2, 3)),
    ),
    head=(256, 384),
    resolutions=(24, 28, 32),
    classes=10,
)


def ofa_mbv3(
    width: float = 1.0, classes: int = 1000, resolutions: Sequence[int] = RESOLUTIONS
) -> MobileNetV3:
    """Return the published once-for-all space for ImageNet; `width` is 1.0 or 1.2."""
    options = checked_options(width, classes, resolutions)
    if width not in (1.0, 1.2):
        raise UsageError(
            f"width is {width}, but once-for-all MobileNetV3 was published for 1.0 and 1.2; give one"
        )
    shape = replace(PUBLISHED, classes=classes, resolutions=tuple(resolutions)).scaled(width)
    return MobileNetV3("ofa-mbv3", shape, options)


def mbv3_small_image(classes: int = 10, channels: int = 3, width: float = 1.0) -> MobileNetV3:
    """Return the variant for images of CIFAR size (32 × 32)."""
    check_positive(classes=classes, channels=channels)
    shape = replace(SMALL_IMAGE, classes=classes, channels=channels).scaled(width)
    return MobileNetV3("mbv3-small-image", shape, {"classes": classes, "channels": channels, "width": width})
