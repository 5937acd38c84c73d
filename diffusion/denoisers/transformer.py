"""Diffusion transformers of diffusers (DiT, Peebles & Xie 2023; PixArt-α, Chen et al. 2024) as an elastic family.

The width of the tokens stays; heads, feed-forward widths and whole blocks are elastic. Names are diffusers' own, but
for PixArt's last modulation, which lies beside the blocks there: `final.scale_shift_table` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
from torch import Tensor, nn

from diffusion.denoisers.blocks import (
    Condition,
    DenoiserLayout,
    Shares,
    attention_layouts,
    feed_forward_layouts,
    set_heads,
)
from diffusion.denoisers.configuration import DIT, PIXART
from diffusion.denoisers.family import DenoiserFamily, require_shares, times
from nas.elastic import Axis, Layout, resized
from nas.elastic import LengthChoices as Choices
from nas.space import Dimension

_MASKED = -10000.0
"""What diffusers adds to the scores of tokens that are not there."""
MOVED = {"scale_shift_table": "final.scale_shift_table"}
"""Names of tensors of a PixArt transformer: diffusers' and ours."""


class DiTNetwork(DiTTransformer2DModel):
    """A DiT as a function of tensors."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, hidden_states: Tensor, timestep: Tensor, class_labels: Tensor
    ) -> Tensor:
        """Return the prediction (batch, channels, size, size) for noisy latents of the same size."""
        return super().forward(hidden_states, timestep, class_labels, return_dict=False)[0]  # pyright: ignore[reportArgumentType]


class Final(nn.Module):
    """The last modulation of a PixArt transformer, a shift and a scale: a module, because parts are modules."""

    def __init__(self, scale_shift_table: nn.Parameter) -> None:
        super().__init__()
        self.scale_shift_table = scale_shift_table


class PixArtNetwork(PixArtTransformer2DModel):
    """A PixArt transformer as a function of tensors, its last modulation in a module of its own.

    The pass is written out: diffusers squeezes the tokens' axis, which no ONNX exporter takes.
    """

    moved = MOVED

    def move_table(self) -> None:
        """Put the last modulation into its module."""
        table = self._parameters.pop("scale_shift_table")
        assert table is not None
        self.final = Final(table)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        resolution: Tensor | None = None,
        aspect_ratio: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction (batch, outputs, height, width) for noisy latents."""
        size, count = self.config["patch_size"], hidden_states.shape[0]
        height, width = hidden_states.shape[-2] // size, hidden_states.shape[-1] // size
        x_btc = self.pos_embed(hidden_states)
        sizes: Any = {"resolution": resolution, "aspect_ratio": aspect_ratio}
        modulation, time_bc = self.adaln_single(timestep, sizes, batch_size=count, hidden_dtype=x_btc.dtype)
        text = encoder_hidden_states
        if self.caption_projection is not None:
            text = self.caption_projection(text).view(count, -1, x_btc.shape[-1])
        bias_b1t = None
        if encoder_attention_mask is not None:
            bias_b1t = ((1 - encoder_attention_mask.to(x_btc.dtype)) * _MASKED).unsqueeze(1)
        for block in self.transformer_blocks:
            x_btc = block(
                x_btc, encoder_hidden_states=text, encoder_attention_mask=bias_b1t, timestep=modulation
            )
        shift, scale = (self.final.scale_shift_table[None] + time_bc[:, None]).chunk(2, dim=1)
        x_btc = self.proj_out(self.norm_out(x_btc) * (1 + scale) + shift)
        patches = x_btc.reshape(-1, height, width, size, size, self.out_channels)
        return torch.einsum("nhwpqc->nchpwq", patches).reshape(
            -1, self.out_channels, height * size, width * size
        )


class DiffusionTransformer(DenoiserFamily):
    """The subnets of one diffusion transformer.

    Dimensions, where more than one choice is offered, by the module's path: "kept" (whether a block is there; the first
    always is), "heads" of an attention, "width" of a feed-forward; "attention.bits", "feed_forward.bits" and,
    for a DiT, "modulation.bits" are those of all weights of a kind. Then come the dimensions of `sampling`. Inputs are
    `hidden_states` (batch, channels, size, size), `timestep` (batch), float32, and `class_labels` for a DiT or
    `encoder_hidden_states` (batch, tokens, features) for a PixArt transformer, with `encoder_attention_mask` (batch,
    tokens), 1 where there is a token, and `resolution` (batch, 2), `aspect_ratio` (batch, 1) where it takes them.
    """

    name = "diffusion-transformer"
    kinds: ClassVar = {DIT: DiTNetwork, PIXART: PixArtNetwork}

    def plan(self, shares: Shares, removable: bool) -> DenoiserLayout:
        template: Any = self.template
        if self.kind == PIXART:
            template.move_table()
            self.moved = MOVED
        plan = DenoiserLayout(shares)
        for name, module in template.named_children():
            if name == "transformer_blocks":
                for index, block in enumerate(module):
                    _add_block(plan, f"{name}.{index}", block, removable and index > 0)
            elif next(module.parameters(), None) is not None:
                plan.part(name, module)
        return plan

    def inputs(self, batch_size: int, noise: Callable[..., Tensor]) -> dict[str, Tensor]:
        config = self.template.config
        inputs = {"hidden_states": noise(config["in_channels"], *self.size), "timestep": times(batch_size)}
        if self.kind == DIT:
            inputs["class_labels"] = torch.arange(batch_size) * 7 % config["num_embeds_ada_norm"]
            return inputs
        features = config["caption_channels"] or config["cross_attention_dim"]
        inputs["encoder_hidden_states"] = noise(self.tokens, features)
        # Every second text has one token only.
        there = torch.ones(batch_size, self.tokens, dtype=torch.int64)
        there[1::2, 1:] = 0
        inputs["encoder_attention_mask"] = there
        if self.template.use_additional_conditions:
            inputs["resolution"] = torch.tensor([self.size] * batch_size) * 8.0
            inputs["aspect_ratio"] = torch.full((batch_size, 1), self.size[0] / self.size[1])
        return inputs


def _add_block(plan: DenoiserLayout, path: str, block: BasicTransformerBlock, removable: bool) -> None:
    """Add a block as one part: the modulation of both its branches comes from one layer."""
    condition: Condition = (f"{path}.kept", (True,)) if removable else None
    if removable:
        plan.dimensions.append(Dimension(f"{path}.kept", (False, True)))
        plan.gap(path, condition)
    layouts: dict[str, Layout] = {}
    numbers: dict[str, Axis] = {}
    branches = ("attn1", plan.shares.self_attention), ("attn2", plan.shares.cross_attention)
    for name, shares in branches:
        if (attention := getattr(block, name)) is not None:
            own, number, _ = attention_layouts(plan, f"{path}.{name}", attention, shares, condition)
            layouts |= {f"{name}.{key}": layout for key, layout in own.items()}
            numbers[name] = number
    wide, _ = feed_forward_layouts(plan, f"{path}.ff", block.ff, condition)
    layouts |= {f"ff.{key}": layout for key, layout in wide.items()}

    def build(choices: Choices) -> nn.Module:
        module = resized(block, layouts, choices)
        for name, number in numbers.items():
            set_heads(getattr(module, name), number.length(choices))
        return module

    kinds = dict.fromkeys(numbers, "attention") | {"ff": "feed_forward"}
    if isinstance(getattr(block.norm1, "linear", None), nn.Linear):
        kinds["norm1.linear"] = "modulation"
    plan.part(path, block, condition, layouts, build, kinds)


def diffusion_transformer(
    config: Mapping[str, Any],
    *,
    self_attention: Sequence[float] = (0.25, 0.5, 0.75, 1),
    cross_attention: Sequence[float] = (0.25, 0.5, 0.75, 1),
    feed_forward: Sequence[float] = (0.25, 0.5, 0.75, 1),
    bits: Sequence[int] | None = None,
    removable: bool = True,
    sampling: Mapping[str, Sequence[Any]] | None = None,
    tokens: int = 120,
    within: Mapping[str, Any] | None = None,
) -> DiffusionTransformer:
    """Return the space of a diffusion transformer of diffusers.

    `config` is its config.json. `self_attention`, `cross_attention` and `feed_forward` are the shares of heads and
    widths that are offered, above 0; `removable` offers leaving out any block but the first. `bits`, `sampling`,
    `tokens` and `within` are as for `diffusion_unet`. Raises `UsageError` for a configuration of another network.
    """
    first, second, wide = (
        [share for share in offered if share != 0]
        for offered in (self_attention, cross_attention, feed_forward)
    )
    shares = Shares(None, first, second, wide, None, bits)
    require_shares(shares, tokens)
    return DiffusionTransformer(config, shares, bool(removable), dict(sampling or {}), tokens, within)
