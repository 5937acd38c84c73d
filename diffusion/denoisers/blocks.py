"""The elastic dimensions of the blocks of diffusers: residual blocks, attention, feed-forward, transformers.

Stage widths and skips stay as they are, because norm groups straddle the border between a hidden state and its skip;
what is elastic lies inside a block. Every block is diffusers' own class at a smaller size.

Beside sizes there are the bits of weights, one number for all layers of a kind: "attention.bits" (projections, and
those around a transformer), "feed_forward.bits", "resnet.bits" (convolutions, and those that change the resolution),
"modulation.bits". The first and the last layer, embeddings and norms stay floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from nas.elastic import Axis, Cat, Elastic, Fixed, Layout, Part, Repeat, bits_dimension, resized, with_bits
from nas.elastic import LengthChoices as Choices
from nas.space import Choice, Dimension

Condition = tuple[str, tuple[Choice, ...]] | None
"""A dimension and those of its choices for which something is there; None for always."""


@dataclass(frozen=True)
class Shares:
    """The shares of the full number that are offered, 0 for leaving the branch out; None for what a network lacks.

    `bits` are those that weights may have, ascending; None for floats alone.
    """

    resnet: Sequence[float] | None
    self_attention: Sequence[float]
    cross_attention: Sequence[float]
    feed_forward: Sequence[float]
    depth: Sequence[float] | None
    bits: Sequence[int] | None = None


@dataclass(frozen=True)
class Gap:
    """A module that is missing where `condition` does not hold, and what stands there instead; None for nothing."""

    path: str
    condition: Condition
    stand_in: Callable[[], nn.Module | None] = lambda: None

    def is_open(self, choices: Choices) -> bool:
        """Whether a subnet of these choices lacks the module."""
        return self.condition is not None and choices.get(self.condition[0]) not in self.condition[1]


@dataclass
class DenoiserLayout:
    """What is gathered of a network: its dimensions, parts and gaps, blocks in the order of execution.

    `reads` are dimensions that the cost of the parts added next depends on beside their own.
    """

    shares: Shares
    dimensions: list[Dimension] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    reads: tuple[str, ...] = ()

    def count(
        self, name: str, full: int, shares: Sequence[float], condition: Condition, multiple: int = 1
    ) -> tuple[Axis, Condition]:
        """Add a dimension of whole numbers up to `full`; return its axis, and when the number is above 0."""
        choices = counts(full, shares, multiple)
        if choices == (full,):
            return Fixed(full), condition
        self.dimensions.append(Dimension(name, choices, condition))
        return Elastic(name), (name, tuple(filter(None, choices))) if 0 in choices else condition

    def part(
        self,
        path: str,
        template: nn.Module | None,
        condition: Condition = None,
        layouts: dict[str, Layout] | None = None,
        build: Callable[[Choices], nn.Module] | None = None,
        bits: Mapping[str, str] | None = None,
    ) -> None:
        """Add a part; without `layouts` and `build` it is the same in every subnet that has it.

        `bits` names modules inside, "" for the part itself, and the kind of layer whose bits decide their weights.
        """
        assert template is not None
        own = layouts or {}
        make = build or partial(resized, template, own)
        reads = self.reads
        if bits and self.shares.bits:
            make = partial(with_bits, make, bits, self.shares.bits[-1])
            reads = (*reads, *self._bit_dimensions([*bits.values()]))
        self.parts.append(Part(path, make, own, condition, reads, group=_group(path)))

    def _bit_dimensions(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """Return the dimensions of bits of these kinds of layers, added where they are new."""
        choices = tuple(self.shares.bits or ())
        if len(choices) < 2:
            return ()
        names = tuple(dict.fromkeys(map(bits_dimension, kinds)))
        known = {dimension.name for dimension in self.dimensions}
        self.dimensions += [Dimension(name, choices) for name in names if name not in known]
        return names

    def gap(
        self, path: str, condition: Condition, stand_in: Callable[[], nn.Module | None] = lambda: None
    ) -> None:
        """Add a gap, unless the module is always there; of two at one path the first that is open counts."""
        if condition is not None:
            self.gaps.append(Gap(path, condition, stand_in))

    def within(self, most: Mapping[str, Choice]) -> None:
        """Offer no more than the choices `most`, and drop what is then in no subnet; others stay as they are."""
        dimensions: dict[str, Dimension] = {}
        for dimension in self.dimensions:
            if (condition := _narrowed(dimension.active_if, dimensions)) != ():
                choices = dimension.choices
                if dimension.name in most:
                    choices = choices[: dimension.index(most[dimension.name]) + 1]
                dimensions[dimension.name] = replace(dimension, choices=choices, active_if=condition)
        self.dimensions = [*dimensions.values()]
        parts = [(part, _narrowed(part.active_if, dimensions)) for part in self.parts]
        self.parts = [replace(part, active_if=condition) for part, condition in parts if condition != ()]

    def left_out(self, choices: Choices) -> dict[str, nn.Module | None]:
        """Return what a subnet of these choices lacks, for `nas.elastic.assembled`."""
        missing: dict[str, nn.Module | None] = {}
        for gap in self.gaps:
            if gap.is_open(choices) and gap.path not in missing:
                missing[gap.path] = gap.stand_in()
        return missing


def _narrowed(condition: Condition, kept: Mapping[str, Dimension]) -> Any:
    """Return a condition with those of its choices that are still offered; () where it never holds."""
    if condition is None:
        return None
    name, values = condition
    left = tuple(value for value in values if name in kept and value in kept[name].choices)
    return (name, left) if left else ()


def counts(full: int, shares: Sequence[float], multiple: int = 1) -> tuple[int, ...]:
    """Return the numbers nearest to each share of `full`, multiples of `multiple`, ascending; `full` is among them."""
    found = {max(multiple, round(full * share / multiple) * multiple) for share in shares if share > 0}
    return tuple(
        sorted({number for number in found if number < full} | {full} | ({0} if 0 in shares else set()))
    )


def _group(path: str) -> str:
    return ".".join(path.split(".")[:2]) if "blocks." in path else path.partition(".")[0]


# --- stand-ins of branches that are left out --------------------------------------------------------------------------


class Shortcut(nn.Module):
    """A residual block without its branch: the shortcut alone, if the block has one."""

    def __init__(self, conv_shortcut: nn.Module | None, output_scale_factor: float) -> None:
        super().__init__()
        self.conv_shortcut = conv_shortcut
        self.output_scale_factor = output_scale_factor

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor | None = None) -> torch.Tensor:
        """Return (batch, outputs, height, width)."""
        x = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        return x if self.output_scale_factor == 1 else x / self.output_scale_factor


class NoTransformer(nn.Module):
    """What stands in the place of a `Transformer2DModel` that is left out: its output is its input."""

    def forward(self, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> tuple[torch.Tensor]:
        return (hidden_states,)


class NoAttention(nn.Module):
    """What stands in the place of an attention block with a residual connection that is left out."""

    def __init__(self, rescale_output_factor: float) -> None:
        super().__init__()
        self.rescale_output_factor = rescale_output_factor

    def forward(self, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        return (
            hidden_states if self.rescale_output_factor == 1 else hidden_states / self.rescale_output_factor
        )


class Nothing(nn.Module):
    """A branch that is left out: it adds 0 to what it is added to."""

    def forward(self, *args: object, **kwargs: object) -> float:
        return 0.0


ATTENTION, FEED_FORWARD, RESNET = {"": "attention"}, {"": "feed_forward"}, {"": "resnet"}
"""What kind of layer a part is as a whole."""

# --- blocks -----------------------------------------------------------------------------------------------------------


def add_resnet(plan: DenoiserLayout, path: str, block: ResnetBlock2D, condition: Condition) -> None:
    """Add a residual block: whole norm groups of its inner channels; with none only the shortcut is left.

    The first block of a network stays: without any the time would not reach the image.
    """
    if block.upsample is not None or block.downsample is not None:
        plan.part(path, block, condition, bits=RESNET)
        return
    groups, channels = block.norm2.num_groups, block.norm2.num_channels
    first = not any(part.name.endswith(".resnets.0") for part in plan.parts)
    shares = [share for share in plan.shares.resnet or (1,) if share or not first]
    number, _ = plan.count(f"{path}.groups", groups, shares, condition)
    inner = Repeat(number, channels // groups)
    kernel = (Fixed(3), Fixed(3))
    layouts = {
        "conv1.weight": Layout((inner, Fixed(block.conv1.in_channels), *kernel)),
        "conv1.bias": Layout((inner,)),
        "norm2.weight": Layout((inner,)),
        "norm2.bias": Layout((inner,)),
        "conv2.weight": Layout((Fixed(block.conv2.out_channels), inner, *kernel)),
    }
    if block.time_emb_proj is not None:
        shift = Cat(inner, inner) if block.time_embedding_norm == "scale_shift" else inner
        layouts["time_emb_proj.weight"] = Layout((shift, Fixed(block.time_emb_proj.in_features)))
        layouts["time_emb_proj.bias"] = Layout((shift,))

    def build(choices: Choices) -> nn.Module:
        kept = number.length(choices)
        if kept == 0:
            shortcut = block.conv_shortcut
            return Shortcut(
                None if shortcut is None else resized(shortcut, {}, choices), block.output_scale_factor
            )
        module = resized(block, layouts, choices)
        assert isinstance(module, ResnetBlock2D)
        module.norm2.num_groups = kept
        return module

    plan.part(path, block, condition, layouts, build, RESNET)


def attention_layouts(
    plan: DenoiserLayout, path: str, block: Attention, shares: Sequence[float], condition: Condition
) -> tuple[dict[str, Layout], Axis, Condition]:
    """Add the heads of an attention layer; return its layouts, the number of heads, and when it is there.

    A head is rows of query, key and value, of which there must be equally many, and columns of the output.
    """
    number, present = plan.count(f"{path}.heads", block.heads, shares, condition)
    heads = Repeat(number, block.inner_dim // block.heads)
    output: Any = block.to_out[0] if block.to_out is not None else None
    layouts = {"to_out.0.weight": Layout((Fixed(output.out_features), heads))}
    for name in ("to_q", "to_k", "to_v"):
        layer = getattr(block, name)
        layouts[f"{name}.weight"] = Layout((heads, Fixed(layer.in_features)))
        if layer.bias is not None:
            layouts[f"{name}.bias"] = Layout((heads,))
    return layouts, number, present


def set_heads(attention: Any, heads: int) -> None:
    """Tell an attention layer, cut to so many heads, their number."""
    size = attention.inner_dim // attention.heads
    attention.heads = attention.sliceable_head_dim = heads
    attention.inner_dim = attention.inner_kv_dim = heads * size


def add_attention(
    plan: DenoiserLayout, path: str, block: Attention, shares: Sequence[float], condition: Condition
) -> Condition:
    """Add an attention layer with its heads, and return when it is there."""
    layouts, number, present = attention_layouts(plan, path, block, shares, condition)

    def build(choices: Choices) -> nn.Module:
        module = resized(block, layouts, choices)
        set_heads(module, number.length(choices))
        return module

    plan.part(path, block, present, layouts, build, ATTENTION)
    return present


def feed_forward_layouts(
    plan: DenoiserLayout, path: str, block: FeedForward, condition: Condition
) -> tuple[dict[str, Layout], Condition]:
    """Add the inner width of a feed-forward, the halves of a gate alike; return its layouts and when it is there."""
    net: Any = block.net
    widen, narrow = net[0].proj, net[2]
    full = narrow.in_features
    multiple = 8 if full % 8 == 0 else 1
    inner, present = plan.count(f"{path}.width", full, plan.shares.feed_forward, condition, multiple)
    wide = Cat(inner, inner) if widen.out_features == 2 * full else inner
    layouts = {
        "net.0.proj.weight": Layout((wide, Fixed(widen.in_features))),
        "net.2.weight": Layout((Fixed(narrow.out_features), inner)),
    }
    if widen.bias is not None:
        layouts["net.0.proj.bias"] = Layout((wide,))
    return layouts, present


def add_transformer_block(
    plan: DenoiserLayout, path: str, block: BasicTransformerBlock, condition: Condition
) -> None:
    """Add a transformer block with plain norms: heads of both attentions, feed-forward width; each may be left out."""
    shares = plan.shares
    first = add_attention(plan, f"{path}.attn1", block.attn1, shares.self_attention, condition)
    plan.part(f"{path}.norm1", block.norm1, first)
    plan.gap(f"{path}.attn1", first, Nothing)
    plan.gap(f"{path}.norm1", first, nn.Identity)
    if block.attn2 is not None and block.norm2 is not None:
        second = add_attention(plan, f"{path}.attn2", block.attn2, shares.cross_attention, condition)
        plan.part(f"{path}.norm2", block.norm2, second)
        plan.gap(f"{path}.attn2", second)
        plan.gap(f"{path}.norm2", second)
    layouts, third = feed_forward_layouts(plan, f"{path}.ff", block.ff, condition)
    plan.part(f"{path}.norm3", block.norm3, third)
    plan.part(f"{path}.ff", block.ff, third, layouts, bits=FEED_FORWARD)
    plan.gap(f"{path}.ff", third, Nothing)
    plan.gap(f"{path}.norm3", third, nn.Identity)


def add_transformer(plan: DenoiserLayout, path: str, block: Transformer2DModel, condition: Condition) -> None:
    """Add a transformer over an image: its first blocks, or none of it."""
    full = len(block.transformer_blocks)
    name = f"{path}.depth"
    offered = plan.shares.depth or (1,)
    number, present = plan.count(name, full, offered, condition)
    plan.gap(path, present, NoTransformer)
    plan.part(f"{path}.norm", block.norm, present)
    plan.part(f"{path}.proj_in", block.proj_in, present, bits=ATTENTION)
    depths = counts(full, offered)
    for index, inner in enumerate(block.transformer_blocks):
        own = f"{path}.transformer_blocks.{index}"
        deep = present if isinstance(number, Fixed) else (name, tuple(d for d in depths if d > index))
        assert isinstance(inner, BasicTransformerBlock)
        add_transformer_block(plan, own, inner, deep)
        plan.gap(own, deep)
    plan.part(f"{path}.proj_out", block.proj_out, present, bits=ATTENTION)


def add_attention_block(plan: DenoiserLayout, path: str, block: Attention, condition: Condition) -> None:
    """Add an attention block of an unconditional UNet, norm and residual connection inside."""
    present = add_attention(plan, path, block, plan.shares.self_attention, condition)
    plan.gap(path, present, partial(NoAttention, block.rescale_output_factor))
