"""What the published once-for-all supernets of images share (Cai et al. 2020, github.com/mit-han-lab/once-for-all).

The published code numbers its blocks through all stages and calls its layers otherwise. Its elastic layers hold a plain
one under their own name (`bn.bn`), and older checkpoints say `mobile_inverted_conv` for `conv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from nas.elastic import Family, resize_images
from nas.errors import UsageError
from nas.space import Subnet

RESOLUTIONS = tuple(range(128, 225, 4))
_BLOCK = re.compile(r"blocks\.(\d+)\.(?:(?:mobile_inverted_)?conv\.)?")
_RENAMES = [
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^module\.", ""),
        (r"\b(\w+)(?:\.\1)+\b", r"\1"),
        (r"\.(?:conv\.)?bn\.", ".norm."),
        (r"^(?:first_conv|input_stem)\.", "stem."),
        (r"^(\w+)_layer\.", r"\1."),
        (r"^classifier\.linear\.", "classifier."),
        (r"\.inverted_bottleneck\.", ".expand."),
        (r"\.depth_conv\.se\.fc\.", ".squeeze."),
        (r"\.depth_conv\.", ".depthwise."),
        (r"\.point_linear\.", ".project."),
        (r"(\d+to\d+)_matrix$", r"matrix_\1"),
    )
]


class OnceForAll(Family):
    """A network of images, one layer after another; inputs are (batch, channels, resolution, resolution).

    Attributes:
        layers: The network's layers in their order: the first words of the parts' names, and what has no tensors.
        channels: Those of an image.
        dropout: The share of the classifier's inputs that training leaves out.
    """

    input_dimensions = ("resolution",)
    layers: tuple[str, ...]
    channels: int = 3
    dropout: float = 0.0

    @property
    def blocks(self) -> list[str]:
        """The names of the blocks in the order in which the published code numbers them."""
        return [part.name for part in self.parts if part.name.startswith("stages.")]

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        plain = {
            "max_pool": nn.MaxPool2d(3, 2, 1),
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "dropout": nn.Dropout(self.dropout),
        }
        network = nn.Sequential()
        for layer in self.layers:
            if layer in plain:
                network.add_module(layer, plain[layer])
            for name, module in modules.items():
                if name.partition(".")[0] == layer:
                    *path, leaf = name.split(".")
                    _container(network, path).add_module(leaf, module)
        return network

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        size = int(subnet["resolution"])
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch_size, self.channels, size, size, generator=generator)

    def prepare(self, x: torch.Tensor, subnet: Subnet) -> torch.Tensor:
        size = int(subnet["resolution"])
        return resize_images(x, (size, size))

    def initialise(self, network: nn.Module) -> None:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.01)
                nn.init.zeros_(layer.bias)

    def published_name(self, key: str) -> str:
        for pattern, ours in _RENAMES:
            key = pattern.sub(ours, key)
        block, names = _BLOCK.match(key), self.blocks
        if block is None or int(block[1]) >= len(names):
            return key
        return f"{names[int(block[1])]}.{key[block.end() :]}"

    def published_options(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
        told = {self.published_name(key): len(tensor) for key, tensor in state.items() if tensor.ndim}
        return {"classes": told["classifier.bias"]} if "classifier.bias" in told else {}


def _container(network: nn.Sequential, path: Sequence[str]) -> nn.Module:
    """Return the container at `path` in the network, made where there is none yet."""
    place: nn.Module = network
    for step in path:
        if step not in place._modules:
            place.add_module(step, nn.Sequential())
        place = place.get_submodule(step)
    return place


def within_depth(stage: int, block: int, depths: Sequence[int]) -> tuple[str, tuple[int, ...]] | None:
    """Return which choices of the stage's depth keep a block, for `active_if`; None where all do."""
    kept = tuple(depth for depth in depths if depth >= block)
    return None if len(kept) == len(depths) else (f"stage{stage}.depth", kept)


def check_positive(**values: object) -> None:
    """Raise `UsageError` for a value that is no whole number of at least 1."""
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise UsageError(f"{name} is {value!r}, but must be a whole number of at least 1; give one")


def checked_options(width: float, classes: int, resolutions: Sequence[int]) -> dict[str, object]:
    """Return a family's options as JSON has them; resolutions only where they are not the published ones."""
    check_positive(classes=classes)
    if not width > 0:
        raise UsageError(f"width is {width}, but must be more than 0; give the published one or another")
    options: dict[str, object] = {"width": width, "classes": classes}
    return options if tuple(resolutions) == RESOLUTIONS else options | {"resolutions": [*resolutions]}
