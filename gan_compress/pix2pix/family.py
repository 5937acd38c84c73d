"""The once-for-all generator of GAN Compression (Li et al. 2020): image to image, elastic width in eight stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from gan_compress.pix2pix.published import options_of, our_name
from gan_compress.pix2pix.resnet_generator import (
    FIRST_BLOCK,
    Block,
    ResNetGenerator,
    example_pictures,
    group_sizes,
    initialise,
    make_norm,
)
from nas.elastic import Axis, Elastic, Family, Fixed, Layout, Part, Scaled
from nas.elastic import LengthChoices as Choices
from nas.errors import UsageError
from nas.space import Dimension, SearchSpace, Subnet

STAGES = ("stem", "down1", "down2", "group1", "group2", "group3", "up1", "up2")
"""The stages in the order of the published configuration."""
MULTIPLIERS: Mapping[str, int] = dict(zip(STAGES, (1, 2, 4, 4, 4, 4, 2, 1), strict=True))
NORMS = ("instance", "batch")
LEAST = 4
"""The least channel number that a stage may have, before its multiplier."""
_KERNEL = (Fixed(3), Fixed(3))
_WIDE = (Fixed(7), Fixed(7))


class GanCompression(Family):
    """ResNet generators with elastic width in eight stages.

    A stage's channel number is a choice, its channels are that number times the stage's multiplier: the first
    convolution (1), two downsamplings (2, 4), the inner channels of the blocks of each of three groups (4), two
    upsamplings (2, 1). The residual stream through all blocks has the channels of the second downsampling. Unless
    given, the choices of a stage are ¼, ⅜, ½, … 1 of its largest number, rounded, at least 4. Inputs are images
    (batch, inputs, size, size), -1 to 1.
    """

    name = "gan-compression"
    task = "translation"

    def __init__(
        self,
        *,
        ngf: int,
        blocks: int,
        separable: bool,
        dropout: bool,
        inputs: int,
        outputs: int,
        resolution: int,
        norm: str,
        channels: str,
        choices: Sequence[int],
    ) -> None:
        self.blocks, self.resolution = blocks, resolution
        self.inputs, self.outputs = inputs, outputs
        self.separable, self.slot, self.norm = separable, dropout, norm
        largest = read_configuration(channels) if channels else (ngf,) * len(STAGES)
        self.full: Mapping[str, int] = dict(zip(STAGES, largest, strict=True))
        self.options: Mapping[str, object] = {
            "ngf": ngf, "blocks": blocks, "separable": separable, "dropout": dropout, "inputs": inputs,
            "outputs": outputs, "resolution": resolution, "norm": norm, "channels": channels,
            "choices": list(choices),
        }  # fmt: skip
        self.published_scale = ((0.5,) * inputs, (0.5,) * inputs)
        self.space = SearchSpace(
            self.name,
            [Dimension(f"{stage}.channels", _choices(most, choices)) for stage, most in self.full.items()],
        )

    # --- subnets ------------------------------------------------------------------------------------------------------

    def channels(self, subnet: Subnet) -> tuple[int, ...]:
        """Return the eight channel numbers of `subnet`, before their multipliers."""
        return tuple(int(subnet[f"{stage}.channels"]) for stage in STAGES)

    def configuration(self, subnet: Subnet) -> str:
        """Return `subnet` as the published code writes it, such as "32_32_48_32_48_48_16_16"."""
        return "_".join(map(str, self.channels(subnet)))

    def subnet(self, configuration: str) -> Subnet:
        """Return the subnet of a published configuration of eight numbers, or of six with one for all blocks.

        Raises `UsageError` for another text and `SpaceError` for a number that is no choice.
        """
        numbers = read_configuration(configuration)
        return self.space.subnet(
            {f"{stage}.channels": number for stage, number in zip(STAGES, numbers, strict=True)}
        )

    # --- parts --------------------------------------------------------------------------------------------------------

    def axis(self, stage: str, name: str | None = None) -> Elastic:
        """Return the axis of a stage's channels; the blocks of a group have axes of their own `name`."""
        return Elastic(name or f"{stage}.width", Scaled(MULTIPLIERS[stage], f"{stage}.channels", divisor=1))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        up = FIRST_BLOCK + self.blocks
        stem, down1, stream = self.axis("stem"), self.axis("down1"), self.axis("down2")
        up1, up2 = self.axis("up1"), self.axis("up2")
        parts = [
            *self._conv(1, Fixed(self.inputs), stem, _WIDE),
            *self._conv(4, stem, down1, _KERNEL),
            *self._conv(7, down1, stream, _KERNEL),
        ]
        stages = [
            f"group{group}" for group, size in enumerate(group_sizes(self.blocks), 1) for _ in range(size)
        ]
        for index, stage in enumerate(stages):
            inner = self.axis(stage, f"{stage}.block{index + 1}.inner")
            parts.append(self._block(FIRST_BLOCK + index, stream, inner, stage))
        last = Part(
            f"model.{up + 7}",
            lambda choices: nn.Conv2d(up2.length(choices), self.outputs, 7),
            {"weight": Layout((Fixed(self.outputs), up2, *_WIDE))},
            group="output",
        )
        return (*parts, *self._up(up, stream, up1), *self._up(up + 3, up1, up2), last)

    def _norm(self, place: int, axis: Elastic) -> Part:
        layouts = _norm_layouts("", axis) if self.norm == "batch" else {}
        return Part(
            f"model.{place}",
            lambda choices: make_norm(self.norm, axis.length(choices)),
            layouts,
            reads=axis.dimensions,
            group=_stage(axis),
        )

    def _conv(
        self, place: int, inputs: Axis, outputs: Elastic, kernel: tuple[Axis, Axis]
    ) -> tuple[Part, Part]:
        """Return a convolution and its norm: 7 × 7 at full size, or 3 × 3 that halves the size."""
        stride, padding = (2, 1) if kernel is _KERNEL else (1, 0)

        def build(choices: Choices) -> nn.Module:
            return nn.Conv2d(
                inputs.length(choices), outputs.length(choices), kernel[0].length(choices),
                stride, padding, bias=self.norm != "batch",
            )  # fmt: skip

        layouts = {"weight": Layout((outputs, inputs, *kernel))}
        conv = Part(f"model.{place}", build, self._biased(layouts, outputs), group=_stage(outputs))
        return conv, self._norm(place + 1, outputs)

    def _up(self, place: int, inputs: Axis, outputs: Elastic) -> tuple[Part, Part]:
        def build(choices: Choices) -> nn.Module:
            return nn.ConvTranspose2d(
                inputs.length(choices), outputs.length(choices), 3, stride=2, padding=1, output_padding=1,
                bias=self.norm != "batch",
            )  # fmt: skip

        layouts = {"weight": Layout((inputs, outputs, *_KERNEL))}
        conv = Part(f"model.{place}", build, self._biased(layouts, outputs), group=_stage(outputs))
        return conv, self._norm(place + 1, outputs)

    def _biased(self, layouts: dict[str, Layout], outputs: Axis) -> dict[str, Layout]:
        return layouts if self.norm == "batch" else {**layouts, "bias": Layout((outputs,))}

    def _block(self, place: int, stream: Axis, inner: Axis, group: str) -> Part:
        def build(choices: Choices) -> nn.Module:
            return Block(
                stream.length(choices), inner.length(choices),
                separable=self.separable, norm=self.norm, slot=self.slot,
            )  # fmt: skip

        layouts: dict[str, Layout] = {}
        for at, inputs, outputs in ((1, stream, inner), (6 if self.slot else 5, inner, stream)):
            if self.separable:
                layouts |= {
                    f"conv_block.{at}.conv.0.weight": Layout((inputs, Fixed(1), *_KERNEL)),
                    f"conv_block.{at}.conv.0.bias": Layout((inputs,)),
                    f"conv_block.{at}.conv.2.weight": Layout((outputs, inputs, Fixed(1), Fixed(1))),
                    f"conv_block.{at}.conv.2.bias": Layout((outputs,)),
                }
            else:
                layouts[f"conv_block.{at}.weight"] = Layout((outputs, inputs, *_KERNEL))
                if self.norm != "batch":
                    layouts[f"conv_block.{at}.bias"] = Layout((outputs,))
            if self.norm == "batch":
                layouts |= _norm_layouts(f"conv_block.{at + 1}.", outputs)
        return Part(f"model.{place}", build, layouts, group=group)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        layers = {int(name.removeprefix("model.")): module for name, module in modules.items()}
        return ResNetGenerator(layers, self.blocks)

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> Tensor:
        return example_pictures(batch_size, self.inputs, self.resolution)

    def initialise(self, network: nn.Module) -> None:
        initialise(network)

    # --- published checkpoints ----------------------------------------------------------------------------------------

    def published_name(self, key: str) -> str | None:
        return our_name(key, self.norm)

    def published_options(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
        return options_of(state)


def _stage(axis: Elastic) -> str:
    return axis.name.partition(".")[0]


def _norm_layouts(prefix: str, axis: Axis) -> dict[str, Layout]:
    return {f"{prefix}{name}": Layout((axis,)) for name in ("weight", "bias", "running_mean", "running_var")}


def _choices(most: int, given: Sequence[int]) -> tuple[int, ...]:
    if given:
        return tuple(sorted({number for number in given if number < most} | {most}))
    least = min(LEAST, most)
    return tuple(sorted({max(least, int(most * eighths / 8 + 0.5)) for eighths in range(2, 9)}))


def read_configuration(text: str) -> tuple[int, ...]:
    """Return the eight numbers of a published configuration; of six, the fourth counts for all three groups."""
    words = text.split("_")
    if len(words) not in (6, 8) or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(
            f"{text!r} is no channel configuration; give eight numbers such as 32_32_48_32_48_48_16_16, or six with "
            "one number for all blocks"
        )
    numbers = [int(word) for word in words]
    return tuple(numbers if len(numbers) == 8 else [*numbers[:3], *[numbers[3]] * 3, *numbers[4:]])


def gan_compression(
    ngf: int = 64,
    blocks: int = 9,
    separable: bool = True,
    dropout: bool = True,
    inputs: int = 3,
    outputs: int = 3,
    resolution: int = 256,
    norm: str = "instance",
    channels: str = "",
    choices: Sequence[int] = (),
) -> GanCompression:
    """Return the space of GAN Compression's generators.

    `ngf` is the largest channel number; `channels` gives one for each stage instead, as a configuration. `separable`
    False is the plain generator of pix2pix and CycleGAN, whose blocks have a place for dropout or not. `resolution`
    is the width and height of the images that costs are counted for; the network takes others too. `choices` are the
    channel numbers to choose from, such as the published (16, 24, 32).
    """
    for name, value, least in (
        ("ngf", ngf, 1), ("blocks", blocks, 3), ("inputs", inputs, 1), ("outputs", outputs, 1),
        ("resolution", resolution, 16),
    ):  # fmt: skip
        if type(value) is not int or value < least:
            raise UsageError(f"{name} is {value!r}, but must be a whole number of at least {least}; give one")
    if resolution % 4:
        raise UsageError(f"resolution is {resolution}, but must be a multiple of 4; give one")
    if norm not in NORMS:
        raise UsageError(f"norm is {norm!r}, but must be {' or '.join(map(repr, NORMS))}; give one of these")
    if not all(type(number) is int and number > 0 for number in choices):
        raise UsageError(f"choices are {choices!r}, but must be whole numbers of at least 1; give such")
    if channels and max(read_configuration(channels)) > ngf:
        raise UsageError(
            f"channels is {channels}, but ngf, the largest number, is {ngf}; give less or a larger ngf"
        )
    return GanCompression(
        ngf=ngf, blocks=blocks, separable=bool(separable), dropout=bool(dropout), inputs=inputs, outputs=outputs,
        resolution=resolution, norm=norm, channels=channels, choices=choices,
    )  # fmt: skip
