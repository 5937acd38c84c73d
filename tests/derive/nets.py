"""Small networks, each of which shows what one operation does to labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import Network, trace
from nas.derive.proof import prove
from nas.derive.report import Proof
from nas.derive.spaces.units import Dimensions
from nas.derive.walk import label

EVERYTHING = ("stream", "head_size")


class Net(nn.Module):
    """A function of an input and of layers, which are handed over."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module | Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList([layer for layer in layers if isinstance(layer, nn.Module)])
        self.table = nn.ParameterList([nn.Parameter(layer) for layer in layers if isinstance(layer, Tensor)])
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """Run the function."""
        return self._function(x, *self.layers, *self.table)


def find(
    model: nn.Module, *inputs: Tensor, kinds: tuple[str, ...] = EVERYTHING
) -> tuple[Network, Labels, Dimensions]:
    """Return a network, its labels and dimensions: every one of three units or more."""
    network = Network(model.eval())
    labels = label(trace(network, inputs))
    return (
        network,
        labels,
        Dimensions(labels, kinds, lambda units, unit: (2, units) if units > 2 else (units,)),
    )


def proved(
    model: nn.Module, *inputs: Tensor, kinds: tuple[str, ...] = EVERYTHING
) -> tuple[Proof, Dimensions]:
    """Find the dimensions of a model and prove them."""
    network, labels, dimensions = find(model, *inputs, kinds=kinds)
    return prove(labels, dimensions, network, labels.trace.examples), dimensions


def lengths(dimensions: Dimensions) -> list[int]:
    """Return how many units each dimension has, ascending."""
    return sorted(len(found.atoms) for _, found in dimensions.offered())


def vector(size: int = 6, batch: int = 2) -> Tensor:
    """Return an input for linear layers."""
    return torch.randn(batch, size, generator=torch.Generator().manual_seed(0))


def tokens(count: int = 5, size: int = 6) -> Tensor:
    """Return an input of tokens."""
    return torch.randn(2, count, size, generator=torch.Generator().manual_seed(0))


def image(size: int = 4, channels: int = 3) -> Tensor:
    """Return an input for convolutions."""
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer."""
    return nn.Linear(inputs, outputs)


def conv(inputs: int, outputs: int, size: int = 1, **options: Any) -> nn.Conv2d:
    """Return a convolution."""
    return nn.Conv2d(inputs, outputs, size, **options)


def between(function: Callable[[Tensor], Tensor], width: int = 12, after: int | None = None) -> Net:
    """Return linear layers with an operation between them."""
    return Net(lambda x, a, b: b(function(a(x))), linear(6, width), linear(after or width, 3))


def between_convs(function: Callable[[Tensor], Tensor], width: int = 12, after: int | None = None) -> Net:
    """Return convolutions with an operation between them."""
    return Net(lambda x, a, b: b(function(a(x))), conv(3, width), conv(after or width, 3))


def attention(x: Tensor, qkv: nn.Module, out: nn.Module, heads: int = 3) -> Tensor:
    """Return self-attention over tokens with fused projections."""
    batch, count, _ = x.shape
    q, k, v = qkv(x).reshape(batch, count, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    return out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, -1))
