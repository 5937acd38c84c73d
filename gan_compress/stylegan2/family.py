"""StyleGAN2 generators with elastic channels and output resolution, as Anycost GAN (Lin et al. 2021) has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import log2

import torch
from torch import nn

from gan_compress.stylegan2.checkpoint import published_options
from gan_compress.stylegan2.networks import (
    MAPPING_RATE,
    ClassCondition,
    ConstantInput,
    EqualLinear,
    FixedNoise,
    Generator,
    PixelNorm,
    StyledConv,
    ToRGB,
)
from nas.elastic import Axis, Chosen, Elastic, Family, Fixed, Layout, Length, LengthChoices, Part
from nas.errors import UsageError
from nas.space import Dimension, SearchSpace, Subnet

RATIOS = (0.25, 0.5, 0.75, 1.0)
_BASE = {4: 4096, 8: 2048, 16: 1024, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
_CAP = 512
MAPPING_LAYERS = 8


def full_channels(resolution: int, multiplier: float, cap: int = _CAP) -> tuple[int, ...]:
    """Return the largest network's channels: constant, first convolution, then two for each resolution from 8 on."""
    return uniform_channels(resolution, multiplier, 1.0, cap)


def uniform_channels(resolution: int, multiplier: float, ratio: float, cap: int = _CAP) -> tuple[int, ...]:
    """Return the published channels for one `ratio` everywhere: low resolutions stay at the cap until it binds."""
    sizes = [2**power for power in range(2, int(log2(resolution)) + 1)]
    return tuple(min(cap, int(_BASE[size] * multiplier * ratio)) for size in sizes for _ in range(2))


def _choices(resolution: int, multiplier: float, cap: int) -> list[tuple[int, ...]]:
    """Return what each layer may have: each ratio of its full channels, at least those of the smallest network."""
    full = full_channels(resolution, multiplier, cap)
    floor = uniform_channels(resolution, multiplier, RATIOS[0], cap)
    return [
        tuple(sorted({max(int(most * ratio), least) for ratio in RATIOS}))
        for most, least in zip(full, floor, strict=True)
    ]


class StyleGAN2(Family):
    """StyleGAN2 with elastic channels in every layer and elastic output resolution.

    Inputs are latents (batch, style), with classes (batch, style + classes): a latent, then the shares of the classes.
    """

    task = "generation"
    published_scale = ((0.5,) * 3, (0.5,) * 3)

    def __init__(
        self,
        name: str,
        *,
        resolution: int,
        multiplier: float,
        style: int,
        cap: int,
        classes: int,
        smallest: int,
        mapping: int,
    ) -> None:
        self.name = name
        self.resolution, self.style, self.classes, self.mapping = resolution, style, classes, mapping
        self.full = full_channels(resolution, multiplier, cap)
        self.multiplier, self.cap = multiplier, cap
        self.options: Mapping[str, object] = {
            "resolution": resolution, "multiplier": multiplier, "style": style, "cap": cap, "classes": classes,
            "smallest": smallest, "mapping": mapping,
        }  # fmt: skip
        self.resolutions = tuple(2**power for power in range(int(log2(smallest)), int(log2(resolution)) + 1))
        dimensions = []
        if len(self.resolutions) > 1:
            dimensions.append(Dimension("resolution", self.resolutions))
        for layer, choices in enumerate(_choices(resolution, multiplier, cap)):
            if len(choices) > 1:
                dimensions.append(Dimension(f"layer{layer}.channels", choices, self._active_if(layer)))
        self.space = SearchSpace(name, dimensions)
        self._elastic = set(self.space.names)

    # --- layers -------------------------------------------------------------------------------------------------------

    def size_of(self, layer: int) -> int:
        """Return the resolution at which a layer works; layer 0 is the constant, layer 1 the first convolution."""
        return 4 * 2 ** (layer // 2)

    def _active_if(self, layer: int) -> tuple[str, tuple[int, ...]] | None:
        size = self.size_of(layer)
        kept = tuple(resolution for resolution in self.resolutions if resolution >= size)
        return None if len(kept) == len(self.resolutions) else ("resolution", kept)

    def _channels(self, layer: int) -> Length | int:
        name = f"layer{layer}.channels"
        return Chosen(name) if name in self._elastic else self.full[layer]

    def _axis(self, layer: int) -> Axis:
        name = f"layer{layer}.channels"
        return Elastic(name) if name in self._elastic else Fixed(self.full[layer])

    def channels(self, subnet: Subnet) -> tuple[int, ...]:
        """Return the channels of every layer that `subnet` has."""
        count = 2 * int(log2(self.resolution_of(subnet))) - 2
        return tuple(_length(self._channels(layer), subnet) for layer in range(count))

    def resolution_of(self, subnet: LengthChoices) -> int:
        """Return the width and height of the images of `subnet`."""
        return int(subnet.get("resolution", self.resolution))

    def uniform(self, ratio: float, resolution: int | None = None) -> Subnet:
        """Return the published subnet of one `ratio` in every layer; raises `SpaceError` if that is no choice."""
        wanted = uniform_channels(self.resolution, self.multiplier, ratio, self.cap)
        return self.subnet(wanted, resolution)

    def subnet(self, channels: Sequence[int], resolution: int | None = None) -> Subnet:
        """Return the subnet with these `channels`, one for each layer of the largest network."""
        if len(channels) != len(self.full):
            raise UsageError(
                f"{len(channels)} channels were given, but {self.name} has {len(self.full)} layers"
            )
        choices: dict[str, int] = {"resolution": resolution or self.resolution}
        choices |= {f"layer{layer}.channels": count for layer, count in enumerate(channels)}
        for layer, count in enumerate(channels):
            if f"layer{layer}.channels" not in self._elastic and count != self.full[layer]:
                raise UsageError(
                    f"layer {layer} has {count} channels, but it always has {self.full[layer]} in {self.name}"
                )
        return self.space.subnet({name: value for name, value in choices.items() if name in self._elastic})

    # --- parts --------------------------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        style = [Part("style", lambda _: self._mapping())]
        if self.classes:
            style.insert(0, Part("condition", lambda _: ClassCondition(self.style, self.classes)))
        start = Part(
            "input",
            lambda choices: ConstantInput(_length(self._channels(0), choices)),
            {"input": Layout((Fixed(1), self._axis(0), Fixed(4), Fixed(4)))},
        )
        parts = [*style, start, self._conv("conv1", 0, 1), self._to_rgb("to_rgb1", 1)]
        for layer in range(2, len(self.full)):
            parts.append(self._conv(f"convs.{layer - 2}", layer - 1, layer))
            if layer % 2:
                parts.append(self._to_rgb(f"to_rgbs.{(layer - 3) // 2}", layer))
        noises = Part(
            "noises",
            lambda choices: FixedNoise(self.resolution_of(choices)),
            reads=("resolution",) if "resolution" in self._elastic else (),
        )
        return (*parts, noises)

    def _mapping(self) -> nn.Module:
        linear = (
            EqualLinear(self.style, self.style, lr=MAPPING_RATE, activate=True) for _ in range(self.mapping)
        )
        return nn.Sequential(PixelNorm(), *linear)

    def _modulated(self, inputs: int, outputs: Axis, kernel: int) -> dict[str, Layout]:
        axis = self._axis(inputs)
        return {
            "conv.weight": Layout((Fixed(1), outputs, axis, Fixed(kernel), Fixed(kernel))),
            "conv.modulation.weight": Layout((axis, Fixed(self.style))),
            "conv.modulation.bias": Layout((axis,)),
        }

    def _conv(self, name: str, inputs: int, outputs: int) -> Part:
        upsample = outputs > 1 and outputs % 2 == 0

        def build(choices: LengthChoices) -> nn.Module:
            return StyledConv(
                _length(self._channels(inputs), choices),
                _length(self._channels(outputs), choices),
                self.style,
                fan_in=self.full[inputs],
                upsample=upsample,
            )

        layouts = self._modulated(inputs, self._axis(outputs), 3)
        layouts["activate.bias"] = Layout((self._axis(outputs),))
        return Part(name, build, layouts, active_if=self._active_if(outputs))

    def _to_rgb(self, name: str, inputs: int) -> Part:
        def build(choices: LengthChoices) -> nn.Module:
            count = _length(self._channels(inputs), choices)
            return ToRGB(count, self.style, fan_in=self.full[inputs], upsample=inputs > 1)

        return Part(name, build, self._modulated(inputs, Fixed(3), 1), active_if=self._active_if(inputs))

    def published_options(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
        return published_options(state, _BASE)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        def below(prefix: str) -> list[tuple[str, nn.Module]]:
            return [(name.removeprefix(prefix), m) for name, m in modules.items() if name.startswith(prefix)]

        return Generator(
            modules["style"],
            modules["input"],
            modules["conv1"],
            modules["to_rgb1"],
            below("convs."),
            below("to_rgbs."),
            modules["noises"],
            modules.get("condition"),
        )

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(batch_size, self.style, generator=generator)
        if not self.classes:
            return latents
        shares = torch.zeros(batch_size, self.classes)
        shares[torch.arange(batch_size), torch.arange(batch_size) % self.classes] = 1
        return torch.cat([latents, shares], 1)


def _length(channels: Length | int, choices: LengthChoices) -> int:
    return channels if isinstance(channels, int) else channels(choices)


def anycost(
    resolution: int = 64,
    multiplier: float = 0.5,
    style: int = 512,
    cap: int = _CAP,
    classes: int = 0,
    smallest: int = 0,
    mapping: int = MAPPING_LAYERS,
) -> StyleGAN2:
    """Return the Anycost GAN space.

    `smallest` is the least output resolution (0: a quarter of the largest), `mapping` the number of layers from latent
    to style; the published generators have eight, two learn faster on small images (Karras et al. 2020, ADA).
    """
    for name, value, least in (
        ("resolution", resolution, 8),
        ("style", style, 1),
        ("cap", cap, 4),
        ("classes", classes, 0),
        ("mapping", mapping, 1),
    ):
        if type(value) is not int or value < least:
            raise UsageError(f"{name} is {value!r}, but must be a whole number of at least {least}; give one")
    smallest = smallest or max(4, resolution // 4)
    for name, value in (("resolution", resolution), ("smallest", smallest)):
        if value & (value - 1) or not 4 <= value <= 1024:
            raise UsageError(f"{name} is {value}, but must be a power of two from 8 to 1024; give one")
    if smallest > resolution:
        raise UsageError(f"smallest is {smallest}, more than the resolution {resolution}; give less")
    if not multiplier > 0:
        raise UsageError(f"multiplier is {multiplier}, but must be more than 0; give 0.5, 1 or 2")
    return StyleGAN2(
        "anycost", resolution=resolution, multiplier=float(multiplier), style=style, cap=cap, classes=classes,
        smallest=smallest, mapping=mapping,
    )  # fmt: skip
