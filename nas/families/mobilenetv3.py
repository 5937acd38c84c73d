"""Once-for-all MobileNetV3: elastic kernel, expansion, depth and resolution.

Space and shapes: Cai et al. 2020, "Once-for-All: Train One Network and Specialize it for Efficient Deployment", and its
published MobileNetV3 supernets (width multipliers 1.0 and 1.2). The small-image variant is the same code with other
numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import nn

from nas.elastic import (
    Axis,
    Chosen,
    Divided,
    Elastic,
    Family,
    Fixed,
    Kernel,
    Layout,
    Part,
    Scaled,
    make_divisible,
)
from nas.elastic import Length as LengthRule
from nas.errors import UsageError
from nas.families.blocks import ConvNormAct, MBConv
from nas.families.once_for_all import rename
from nas.space import Choice, Dimension, SearchSpace, Subnet

Choices = Mapping[str, Choice]


@dataclass(frozen=True)
class StageShape:
    """Blocks at one resolution: width, stride of the first, activation, gate, and the choices of each."""

    width: int
    stride: int
    act: str
    squeeze: bool
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    depths: tuple[int, ...] = (2, 3, 4)


@dataclass(frozen=True)
class Shape:
    """The numbers of a MobileNetV3 supernet; widths are final (already multiplied and rounded)."""

    stem: int
    stem_stride: int
    first: int
    first_stride: int
    stages: tuple[StageShape, ...]
    final: int
    mixed: int
    resolutions: tuple[int, ...]
    classes: int
    channels: int = 3
    dropout: float = 0.0

    def scaled(self, width: float) -> Shape:
        """Multiply every width and round it to a multiple of 8."""

        def multiplied(channels: int) -> int:
            return make_divisible(channels * width)

        stages = tuple(replace(stage, width=multiplied(stage.width)) for stage in self.stages)
        first, final = multiplied(self.first), multiplied(self.final)
        mixed = multiplied(self.mixed)
        return replace(self, stem=multiplied(self.stem), first=first, stages=stages, final=final, mixed=mixed)


def mobilenetv3_space(name: str, shape: Shape) -> SearchSpace:
    """Return the space: resolution, and for each stage its depth and every block's kernel and expansion."""
    dimensions = [Dimension("resolution", shape.resolutions)]
    for s, stage in enumerate(shape.stages, 1):
        dimensions.append(Dimension(f"stage{s}.depth", stage.depths))
        for b in range(1, stage.depths[-1] + 1):
            kept = (f"stage{s}.depth", tuple(depth for depth in stage.depths if depth >= b))
            active_if = None if len(kept[1]) == len(stage.depths) else kept
            dimensions.append(Dimension(f"stage{s}.block{b}.kernel", stage.kernels, active_if))
            dimensions.append(Dimension(f"stage{s}.block{b}.expand", stage.expands, active_if))
    return SearchSpace(name, dimensions)


class MobileNetV3(Family):
    """MobileNetV3 of one `Shape` as a model family; inputs are images (batch, channels, resolution, resolution)."""

    input_dimensions = ("resolution",)

    def __init__(self, name: str, shape: Shape, options: Mapping[str, object]) -> None:
        self.name = name
        self.shape = shape
        self.options = dict(options)
        self.space = mobilenetv3_space(name, shape)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        shape = self.shape
        stem = Part(
            "stem",
            lambda _: ConvNormAct(shape.channels, shape.stem, 3, stride=shape.stem_stride, act="hswish"),
        )
        first = Part(
            "first",
            lambda _: MBConv(
                shape.stem, shape.first, kernel=3, expanded=None, stride=shape.first_stride, act="relu"
            ),
        )
        blocks, inputs = [], shape.first
        for s, stage in enumerate(shape.stages, 1):
            for b in range(1, stage.depths[-1] + 1):
                blocks.append(_block_part(s, b, stage, inputs))
                inputs = stage.width
        final = Part("final_expand", lambda _: ConvNormAct(inputs, shape.final, act="hswish"))
        mix = Part("feature_mix", lambda _: ConvNormAct(shape.final, shape.mixed, act="hswish", norm=False))
        classifier = Part("classifier", lambda _: nn.Linear(shape.mixed, shape.classes))
        return (stem, first, *blocks, final, mix, classifier)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for s in range(1, len(self.shape.stages) + 1):
            prefix = f"stages.{s}."
            kept = [
                (name.removeprefix(prefix), part) for name, part in modules.items() if name.startswith(prefix)
            ]
            stages[str(s)] = nn.Sequential(OrderedDict(kept))
        return nn.Sequential(
            OrderedDict(
                stem=modules["stem"],
                first=modules["first"],
                stages=nn.Sequential(stages),
                final_expand=modules["final_expand"],
                pool=nn.AdaptiveAvgPool2d(1),
                feature_mix=modules["feature_mix"],
                flatten=nn.Flatten(),
                dropout=nn.Dropout(self.shape.dropout),
                classifier=modules["classifier"],
            )
        )

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        size = int(subnet["resolution"])
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch_size, self.shape.channels, size, size, generator=generator)

    def prepare(self, x: torch.Tensor, subnet: Subnet) -> torch.Tensor:
        size = int(subnet["resolution"])
        if x.shape[-1] == size and x.shape[-2] == size:
            return x
        return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)

    def published_name(self, key: str) -> str:
        stages = enumerate(self.shape.stages, 1)
        blocks = [f"stages.{s}.{b}" for s, stage in stages for b in range(1, stage.depths[-1] + 1)]
        return rename(key, ["first", *blocks])

    def published_subnet(
        self, ks: Sequence[int], e: Sequence[int], d: Sequence[int], resolution: int
    ) -> Subnet:
        """Return the subnet that `set_active_subnet(ks, e, d)` activates in the published code, at `resolution`."""
        choices: dict[str, int] = {"resolution": resolution}
        entry = 0
        for s, stage in enumerate(self.shape.stages, 1):
            choices[f"stage{s}.depth"] = d[s - 1]
            for b in range(1, stage.depths[-1] + 1):
                choices[f"stage{s}.block{b}.kernel"] = ks[entry]
                choices[f"stage{s}.block{b}.expand"] = e[entry]
                entry += 1
        return self.space.subnet(choices)

    def initialise(self, network: nn.Module) -> None:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.01)
                nn.init.zeros_(layer.bias)


def _block_part(s: int, b: int, stage: StageShape, inputs: int) -> Part:
    """Return block `b` of stage `s`: expanded and squeezed channels and the kernel are elastic."""
    prefix = f"stage{s}.block{b}"
    wide = Scaled(inputs, f"{prefix}.expand")
    narrow = Divided(wide, 4)
    kernel = Chosen(f"{prefix}.kernel")
    stride = stage.stride if b == 1 else 1

    def build(choices: Choices) -> nn.Module:
        return MBConv(
            inputs,
            stage.width,
            kernel=kernel(choices),
            expanded=wide(choices),
            squeezed=narrow(choices) if stage.squeeze else 0,
            stride=stride,
            act=stage.act,
            residual=b > 1,
        )

    steps = list(zip(stage.kernels[1:], stage.kernels[:-1], strict=True))
    matrices = {(larger, smaller): f"matrix_{larger}to{smaller}" for larger, smaller in steps}
    layouts = _block_layouts(prefix, stage, inputs, wide, narrow, Kernel(kernel, matrices))
    first_choices = tuple(depth for depth in stage.depths if depth >= b)
    return Part(
        f"stages.{s}.{b}",
        build,
        layouts,
        active_if=None if len(first_choices) == len(stage.depths) else (f"stage{s}.depth", first_choices),
        matrices={f"depthwise.conv.{name}": smaller**2 for (_, smaller), name in matrices.items()},
    )


def _block_layouts(
    prefix: str, stage: StageShape, inputs: int, wide: LengthRule, narrow: LengthRule, kernel: Kernel
) -> dict[str, Layout]:
    expanded, squeezed = Elastic(f"{prefix}.expanded", wide), Elastic(f"{prefix}.squeezed", narrow)
    one, full = Fixed(1), Fixed(stage.kernels[-1])

    def weight(outputs: Axis, inputs: Axis) -> Layout:
        return Layout((outputs, inputs, one, one))

    layouts = {
        "expand.conv.weight": weight(expanded, Fixed(inputs)),
        "depthwise.conv.weight": Layout((expanded, one, full, full), kernel),
        "project.conv.weight": weight(Fixed(stage.width), expanded),
    }
    if stage.squeeze:
        layouts |= {
            "squeeze.reduce.weight": weight(squeezed, expanded),
            "squeeze.reduce.bias": Layout((squeezed,)),
            "squeeze.expand.weight": weight(expanded, squeezed),
            "squeeze.expand.bias": Layout((expanded,)),
        }
    for norm in ("expand.norm", "depthwise.norm"):
        layouts |= {
            f"{norm}.{t}": Layout((expanded,)) for t in ("weight", "bias", "running_mean", "running_var")
        }
    return layouts


PUBLISHED = Shape(
    stem=16,
    stem_stride=2,
    first=16,
    first_stride=1,
    stages=(
        StageShape(24, 2, "relu", squeeze=False),
        StageShape(40, 2, "relu", squeeze=True),
        StageShape(80, 2, "hswish", squeeze=False),
        StageShape(112, 1, "hswish", squeeze=True),
        StageShape(160, 2, "hswish", squeeze=True),
    ),
    final=960,
    mixed=1280,
    resolutions=tuple(range(128, 225, 4)),
    classes=1000,
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
        StageShape(32, 2, "relu", squeeze=False, kernels=(3,), expands=(2, 3, 4), depths=(1, 2)),
        StageShape(48, 2, "hswish", squeeze=True, kernels=(3, 5), expands=(2, 3, 4), depths=(1, 2, 3)),
        StageShape(64, 1, "hswish", squeeze=True, kernels=(3, 5), expands=(2, 3, 4), depths=(1, 2, 3)),
        StageShape(96, 2, "hswish", squeeze=True, kernels=(3,), expands=(2, 3, 4), depths=(1, 2, 3)),
    ),
    final=256,
    mixed=384,
    resolutions=(24, 28, 32),
    classes=10,
)


def _check_positive(**values: object) -> None:
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise UsageError(f"{name} is {value!r}, but must be a whole number of at least 1; give one")


def ofa_mbv3(
    width: float = 1.0, classes: int = 1000, resolutions: Sequence[int] = PUBLISHED.resolutions
) -> MobileNetV3:
    """Return the published once-for-all space for ImageNet; `width` is 1.0 or 1.2."""
    _check_positive(classes=classes)
    if width not in (1.0, 1.2):
        raise UsageError(
            f"width is {width}, but once-for-all MobileNetV3 was published for 1.0 and 1.2; give one"
        )
    shape = replace(PUBLISHED, classes=classes, resolutions=tuple(resolutions)).scaled(width)
    options: dict[str, object] = {"width": width, "classes": classes}
    if shape.resolutions != PUBLISHED.resolutions:
        options["resolutions"] = list(shape.resolutions)
    return MobileNetV3("ofa-mbv3", shape, options)


def mbv3_small_image(classes: int = 10, channels: int = 3, width: float = 1.0) -> MobileNetV3:
    """Return the variant for images of CIFAR size (32 × 32)."""
    _check_positive(classes=classes, channels=channels)
    shape = replace(SMALL_IMAGE, classes=classes, channels=channels).scaled(width)
    return MobileNetV3("mbv3-small-image", shape, {"classes": classes, "channels": channels, "width": width})
