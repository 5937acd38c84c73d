"""The supernet that learns: the generator's own parts, and adaptors that lead its features to the teacher's.

An adaptor is a learned 1 × 1 convolution (GAN Compression, Li et al. 2020) from the residual stream, elastic, to the
teacher's channels. It is one more part, cut by the common mechanism, and is left behind when training ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn

from gan_compress.pix2pix.family import GanCompression
from gan_compress.pix2pix.resnet_generator import ResNetGenerator, mapping_places
from nas.elastic import Elastic, Family, Fixed, Layout, Part, Supernet
from nas.elastic import LengthChoices as Choices
from nas.space import Subnet

_GENERATOR, _ADAPTORS = "generator", "adaptors."


class StudentNetwork(nn.Module):
    """A generator and its adaptors."""

    def __init__(
        self, generator: ResNetGenerator, adaptors: list[nn.Module], places: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.generator, self.adaptors, self.places = generator, nn.ModuleList(adaptors), places

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return the generator's images."""
        return self.generator(x_bchw)

    def with_features(self, x_bchw: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the images, and adapted features (batch, the teacher's channels, height / 4, width / 4)."""
        images, found = self.generator.with_features(x_bchw, self.places)
        return images, [adaptor(x) for adaptor, x in zip(self.adaptors, found, strict=True)]


class Student(Family):
    """The space of `generator` with adaptors to a teacher of `channels` in its residual stream; for training alone."""

    task = "translation"

    def __init__(self, generator: GanCompression, channels: int) -> None:
        self.generator, self.channels = generator, channels
        self.name, self.space = generator.name, generator.space
        self.options = {**generator.options, "teacher_channels": channels}
        self.places = mapping_places(generator.blocks)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        own = self.generator.parts_within(_GENERATOR)
        stream = self.generator.axis("down2")
        return (*own, *(self._adaptor(index, stream) for index in range(len(self.places))))

    def _adaptor(self, index: int, stream: Elastic) -> Part:
        def build(choices: Choices) -> nn.Module:
            return nn.Conv2d(stream.length(choices), self.channels, 1)

        weight = Layout((Fixed(self.channels), stream, Fixed(1), Fixed(1)))
        return Part(f"{_ADAPTORS}{index}", build, {"weight": weight})

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        generator = self.generator.assemble_within(_GENERATOR, modules, subnet)
        assert isinstance(generator, ResNetGenerator)
        adaptors = [module for name, module in modules.items() if name.startswith(_ADAPTORS)]
        return StudentNetwork(generator, adaptors, self.places)

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        return self.generator.example_input(subnet, batch_size)

    def initialise(self, network: nn.Module) -> None:
        self.generator.initialise(network)


@contextmanager
def running(supernet: Supernet, subnet: Subnet) -> Iterator[StudentNetwork]:
    """Give the student of `subnet` with the supernet's slices, while the block lasts."""
    with supernet.bound(subnet) as network:
        assert isinstance(network, StudentNetwork)
        yield network


def without_adaptors(supernet: Supernet) -> Supernet:
    """Return the supernet of the generator alone, with copies of the weights."""
    family = supernet.family
    assert isinstance(family, Student)
    alone = Supernet(family.generator)
    state = supernet.network.state_dict()
    alone.network.load_state_dict(
        {
            name.removeprefix(f"{_GENERATOR}."): t
            for name, t in state.items()
            if name.startswith(f"{_GENERATOR}.")
        }
    )
    return alone.eval()
