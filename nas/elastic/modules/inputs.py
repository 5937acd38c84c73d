"""What a network takes: one batch, or several by the names of the network's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Inputs = torch.Tensor | Mapping[str, torch.Tensor]
"""One input batch, or several by the argument's name; the first axis of each is the batch."""


def call(network: Callable[..., Any], x: Inputs) -> Any:
    """Run a network on its input, or on its inputs as keyword arguments."""
    return network(x) if isinstance(x, torch.Tensor) else network(**x)


class _Positional(nn.Module):
    """A network that takes the inputs called `names` by their place."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._names = tuple(names)
        self.training = network.training

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.network(**dict(zip(self._names, tensors, strict=True)))


def positional(network: nn.Module, x: Inputs) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return the network and its inputs for programs that hand tensors over by their place."""
    if isinstance(x, torch.Tensor):
        return network, (x,)
    return _Positional(network, list(x)), tuple(x.values())


def map_inputs(function: Callable[[torch.Tensor], torch.Tensor], x: Inputs) -> Inputs:
    """Return the inputs with `function` applied to each tensor."""
    if isinstance(x, torch.Tensor):
        return function(x)
    return {name: function(tensor) for name, tensor in x.items()}


def named_inputs(x: Inputs, name: str = "input") -> dict[str, torch.Tensor]:
    """Return the inputs by name; a single one is called `name`."""
    return {name: x} if isinstance(x, torch.Tensor) else dict(x)


def resize_images(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return images (batch, channels, height, width) at a size: bilinear, antialiased; as they are if they have it."""
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", antialias=True)


def batch_of(x: Inputs) -> int:
    """Return the number of examples in a batch."""
    return len(x) if isinstance(x, torch.Tensor) else len(next(iter(x.values())))


def cat_inputs(batches: Sequence[Inputs]) -> Inputs:
    """Join batches of the same inputs."""
    if isinstance(first := batches[0], torch.Tensor):
        return torch.cat([batch for batch in batches if isinstance(batch, torch.Tensor)])
    return {name: torch.cat([named_inputs(batch)[name] for batch in batches]) for name in first}


def split_inputs(x: Inputs, sizes: int | Sequence[int]) -> list[Inputs]:
    """Cut a batch into batches of `sizes`, as `torch.split` does."""
    lengths = sizes if isinstance(sizes, int) else list(sizes)
    if isinstance(x, torch.Tensor):
        return [*x.split(lengths)]
    pieces = {name: tensor.split(lengths) for name, tensor in x.items()}
    return [dict(zip(pieces, row, strict=True)) for row in zip(*pieces.values(), strict=True)]
