"""Token merging in self-attention (ToMe for Stable Diffusion, Bolya & Hoffman 2023): fewer, averaged tokens attend.

Of every 2 × 2 tokens one is a target. The share of tokens that are most like a target is averaged into it before the
attention, and takes its output after it. No weight is touched. Unlike the original nothing is drawn at random, so the
same input gives the same output, in every batch and in every exported program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.denoisers.blocks import DenoiserLayout
from nas.elastic import LengthChoices as Choices
from nas.elastic import Part
from nas.errors import UsageError
from nas.space import Dimension

MERGE = "merge"
NONE, OFFERED = (0.0,), (0.5, 0.25, 0.0)
FEWEST = 256
"""Tokens from which on merging is offered unasked: among fewer, matching takes longer than what it saves."""
MOST = 0.75  # one token of four is a target, and stays


@dataclass(frozen=True)
class Matching:
    """For each token (batch, tokens) its place in the merged sequence of `kept` tokens."""

    places: Tensor
    kept: int

    def merge(self, x: Tensor) -> Tensor:
        """Return the mean (batch, kept, width) of the tokens (batch, tokens, width) that share a place."""
        index = self.places[..., None]
        ones = torch.ones_like(x[..., :1])
        count = torch.zeros_like(ones[:, : self.kept]).scatter_add(1, index, ones)
        total = torch.zeros_like(x[:, : self.kept]).scatter_add(1, index.expand_as(x), x)
        return total / count

    def spread(self, merged: Tensor) -> Tensor:
        """Return for each token (batch, tokens, width) what is at its place."""
        return merged.gather(1, self.places[..., None].expand(-1, -1, merged.shape[-1]))


def match_tokens(x: Tensor, share: float, aspect: float = 1.0) -> Matching:
    """Match `share` of the tokens (batch, tokens, width) of an image to their targets, by cosine similarity.

    `aspect` is the image's height over its width.
    """
    tokens = int(x.shape[1])  # a trace hands over a tensor
    firsts, rest = _split(tokens, aspect)
    targets, others = torch.tensor(firsts, device=x.device), torch.tensor(rest, device=x.device)
    merged = min(int(share * tokens), len(rest))
    unit = x / (x.norm(dim=-1, keepdim=True) + 1e-6)
    likeness = unit.index_select(1, others) @ unit.index_select(1, targets).transpose(1, 2)
    best, target = likeness.max(-1)
    order = best.topk(len(rest), dim=1).indices
    counted = torch.zeros_like(order) + torch.arange(len(rest), device=x.device)
    rank = torch.zeros_like(order).scatter(1, order, counted)
    places = torch.where(rank < merged, target, rank + (len(firsts) - merged))
    own = torch.zeros_like(places[:, :1]) + torch.arange(len(firsts), device=x.device)
    back = torch.cat([targets, others]).argsort()
    return Matching(torch.cat([own, places], dim=1).index_select(1, back), tokens - merged)


def _split(tokens: int, aspect: float) -> tuple[list[int], list[int]]:
    """Return the numbers of the tokens that are targets, one of every 2 × 2, and of the others."""
    height = max(1, round((tokens * aspect) ** 0.5))
    width = tokens // height
    if height * width != tokens:  # an image of another aspect: a row of tokens
        height, width = 1, tokens
    targets = [row * width + column for row in range(0, height, 2) for column in range(0, width, 2)]
    return targets, sorted({*range(tokens)} - {*targets})


class MergedAttention:
    """A processor of diffusers' attention layers that merges tokens before another one, and spreads them after it."""

    def __init__(self, inner: Any, share: float, aspect: float = 1.0) -> None:
        self.inner, self.share, self.aspect = inner, share, aspect

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the attention's output, of the shape of `hidden_states` (batch, tokens, width)."""
        if encoder_hidden_states is not None or attention_mask is not None:
            return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        matching = match_tokens(hidden_states, self.share, self.aspect)
        return matching.spread(self.inner(attn, matching.merge(hidden_states)))


def is_merged(module: nn.Module) -> bool:
    """Whether a module is an attention layer that merges tokens."""
    return isinstance(getattr(module, "processor", None), MergedAttention)


def outer_stage(config: Mapping[str, Any]) -> int | None:
    """Return the outermost stage of a UNet that has transformers, None where none has."""
    blocks = config.get("down_block_types", ())
    return next((stage for stage, block in enumerate(blocks) if block == "CrossAttnDownBlock2D"), None)


def choices_for(config: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the shares that are offered unasked for a UNet of this configuration."""
    stage, size = outer_stage(config), config.get("sample_size") or 64
    height, width = (size, size) if isinstance(size, int) else size
    if stage is None or (height >> stage) * (width >> stage) < FEWEST:
        return NONE
    return OFFERED


def add_merging(
    plan: DenoiserLayout, config: Mapping[str, Any], size: tuple[int, int], shares: Sequence[float]
) -> None:
    """Add the dimension "merge" to a UNet's plan: the share of tokens merged in the outermost self-attentions.

    Raises `UsageError` for shares that cannot be, and for a UNet without such attentions.
    """
    fine = [type(share) in (int, float) and 0 <= share <= MOST for share in shares]
    if not shares or not all(fine) or shares[-1] != 0:
        raise UsageError(
            f"merge is {list(shares)}, but must be shares of tokens from {MOST} to 0, the last of them 0; give such"
        )
    stage = outer_stage(config)
    if len(shares) == 1:
        return
    if stage is None:
        raise UsageError(
            "merge is given, but the UNet has no self-attention to merge tokens in; leave it out"
        )
    places = f"down_blocks.{stage}.", f"up_blocks.{len(config['block_out_channels']) - 1 - stage}."
    plan.dimensions.append(Dimension(MERGE, tuple(map(float, shares))))
    plan.parts = [
        _merging(part, size[0] / size[1])
        if part.name.startswith(places) and part.name.endswith(".attn1")
        else part
        for part in plan.parts
    ]


def _merging(part: Part, aspect: float) -> Part:
    return replace(part, build=partial(_build, part.build, aspect), reads=(*part.reads, MERGE))


def _build(build: Callable[[Choices], nn.Module], aspect: float, choices: Choices) -> nn.Module:
    module: Any = build(choices)
    if share := choices[MERGE]:
        module.set_processor(MergedAttention(module.processor, float(share), aspect))
    return module
