"""Transformer blocks: fused query, key and value over heads × head size, and the two halves of a GEGLU."""

from __future__ import annotations

import torch
from torch import nn

from nas.elastic import Axis, Cat, Chosen, Elastic, Fixed, Layout, Part, Repeat
from nas.elastic import LengthChoices as Choices
from nas.space import Dimension
from tests.conformance.models._small import SmallFamily, linear

WIDTH, TOKENS, HEAD_SIZE = 12, 5, 4


class Attention(nn.Module):
    """Self-attention with a residual; q, k and v come from one matrix."""

    def __init__(self, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * heads * head_size)
        self.project = nn.Linear(heads * head_size, WIDTH)

    def forward(self, x_btc: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.norm(x_btc)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
        return x_btc + self.project((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """Feed-forward with a residual; one half of the first projection gates the other."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.widen = nn.Linear(WIDTH, 2 * inner)
        self.narrow = nn.Linear(inner, WIDTH)

    def forward(self, x_btc: torch.Tensor) -> torch.Tensor:
        value, gate = self.widen(x_btc).chunk(2, -1)
        return x_btc + self.narrow(value * nn.functional.gelu(gate))


class Heads(SmallFamily):
    """Two layers of attention with elastic heads; with `elastic_size` each head's size is elastic too."""

    input_shape = (TOKENS, WIDTH)

    def __init__(self, elastic_size: bool = False) -> None:
        dimensions = [Dimension(f"layer{i}.heads", (1, 2, 3)) for i in (1, 2)]
        if elastic_size:
            dimensions += [Dimension(f"layer{i}.head_size", (2, 3, 4)) for i in (1, 2)]
        parts = [self._layer(f"layer{i}", elastic_size) for i in (1, 2)]
        super().__init__("small-head-sizes" if elastic_size else "small-heads", dimensions, parts)

    @staticmethod
    def _layer(name: str, elastic_size: bool) -> Part:
        size = Elastic(f"{name}.head_size") if elastic_size else HEAD_SIZE
        length = Chosen(f"{name}.head_size") if elastic_size else lambda _: HEAD_SIZE
        heads: Axis = Repeat(Elastic(f"{name}.heads"), size)

        def build(choices: Choices) -> nn.Module:
            return Attention(int(choices[f"{name}.heads"]), length(choices))

        return Part(
            name,
            build,
            linear(Cat(heads, heads, heads), Fixed(WIDTH), "qkv.") | {"project.weight": _narrow(heads)},
        )


def _narrow(inputs: Axis) -> Layout:
    return linear(Fixed(WIDTH), inputs)["weight"]


class FeedForward(SmallFamily):
    """A GEGLU feed-forward with an elastic inner width, the halves cut together."""

    input_shape = (TOKENS, WIDTH)

    def __init__(self) -> None:
        inner = Elastic("inner")
        layouts = linear(Cat(inner, inner), Fixed(WIDTH), "widen.") | {"narrow.weight": _narrow(inner)}
        part = Part("feed_forward", lambda choices: GEGLU(int(choices["inner"])), layouts)
        super().__init__("small-geglu", [Dimension("inner", (8, 12, 16, 24))], [part])
