"""The ResNet generator of pix2pix and CycleGAN (Isola et al. 2017, Zhu et al. 2017), plain and separable.

Two downsamplings, residual blocks, two upsamplings; the form is Johnson et al.'s (2016). In the separable layout of GAN
Compression (Li et al. 2020) each convolution of a block filters channel by channel, then mixes channels. Modules stand
where the published checkpoints have them: "model.1" is the first convolution, "model.10" the first block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

FIRST_BLOCK = 10
"""The first block's place in the sequence."""


def make_norm(kind: str, channels: int) -> nn.Module:
    """Return the norm layer called `kind`: "instance", which has no tensors, or "batch"."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class SeparableConv(nn.Module):
    """A 3 × 3 filter for each channel, an instance norm whatever the network's norm is, a mix of all channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, groups=inputs),
            nn.InstanceNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 1),
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (batch, outputs, height - 2, width - 2)."""
        return self.conv(x_bchw)


class Block(nn.Module):
    """Two convolutions around `inner` channels, added to the input.

    With `slot` the place of a dropout layer, which generators in use do not need, is kept: later names count it.
    """

    def __init__(self, channels: int, inner: int, *, separable: bool, norm: str, slot: bool) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int) -> nn.Module:
            if separable:
                return SeparableConv(inputs, outputs)
            return nn.Conv2d(inputs, outputs, 3, bias=norm != "batch")

        layers = [nn.ReflectionPad2d(1), conv(channels, inner), make_norm(norm, inner), nn.ReLU(inplace=True)]
        if slot:
            layers.append(nn.Identity())
        layers += [nn.ReflectionPad2d(1), conv(inner, channels), make_norm(norm, channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return the input's shape."""
        return x_bchw + self.conv_block(x_bchw)


class ResNetGenerator(nn.Module):
    """Images (batch, inputs, height, width) in, -1 to 1, images (batch, outputs, height, width) out.

    Height and width are multiples of 4. `layers` are the modules with weights by their place in the sequence; what
    stands between them is added here.
    """

    def __init__(self, layers: Mapping[int, nn.Module], blocks: int) -> None:
        super().__init__()
        up = FIRST_BLOCK + blocks
        between: dict[int, nn.Module] = {place: nn.ReLU(inplace=True) for place in (3, 6, 9, up + 2, up + 5)}
        between |= {0: nn.ReflectionPad2d(3), up + 6: nn.ReflectionPad2d(3), up + 8: nn.Tanh()}
        everything = {**layers, **between}
        self.model = nn.Sequential(*(everything[place] for place in range(len(everything))))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return images of the input's size."""
        return self.model(x_bchw.clamp(-1, 1))

    def with_features(self, x_bchw: Tensor, places: Iterable[int]) -> tuple[Tensor, list[Tensor]]:
        """Return the images, and what the modules at `places` give (batch, channels, height / 4, width / 4)."""
        wanted, found, x = set(places), [], x_bchw.clamp(-1, 1)
        for place, layer in enumerate(self.model):
            x = layer(x)
            if place in wanted:
                found.append(x)
        return x, found


def group_sizes(blocks: int) -> tuple[int, int, int]:
    """Return how many blocks the three groups have: as equal as can be, the last one takes what is left."""
    third = blocks // 3
    return third, third, blocks - 2 * third


def mapping_places(blocks: int) -> tuple[int, ...]:
    """Return the published places whose features a student learns: before the blocks and after each group."""
    first, second, _ = group_sizes(blocks)
    last = FIRST_BLOCK - 1
    return last, last + first, last + first + second, last + blocks


def initialise(network: nn.Module) -> None:
    """Draw first weights as pix2pix and CycleGAN do: a normal distribution of deviation 0.02, biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


def example_pictures(count: int, channels: int, size: int) -> Tensor:
    """Return the same noise (count, channels, size, size), -1 to 1, every time."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, size, size, generator=generator) * 2 - 1
