"""The UNets of diffusers (Stable Diffusion 1.x, 2.x, XL; unconditional) as one elastic family.

A supernet's tensors have diffusers' own names, so it loads a pipeline's `diffusion_pytorch_model.safetensors` as it is;
a subnet runs diffusers' own code. Named subnets are those of BK-SDM (Kim et al. 2024, "BK-SDM: A Lightweight, Fast, and
Cheap Version of Stable Diffusion"), which leave out layers of a stage, the mid block and the innermost stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from diffusion.denoisers.blocks import (
    RESNET,
    Condition,
    DenoiserLayout,
    Shares,
    add_attention_block,
    add_resnet,
    add_transformer,
)
from diffusion.denoisers.configuration import CONDITIONAL, UNCONDITIONAL
from diffusion.denoisers.family import DenoiserFamily, require_shares, times
from diffusion.denoisers.merging import NONE, add_merging
from nas.space import Dimension, Subnet

BATCH = 63
"""The largest batch of an exported program: from 64 on diffusers upsamples another way."""


class ConditionalNetwork(UNet2DConditionModel):
    """A UNet with a text condition as a function of tensors: the denoiser that runtimes and files hold."""

    max_batch = BATCH

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        text_embeds: Tensor | None = None,
        time_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction (batch, channels, height, width) for noisy latents of the same size."""
        added = None if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
        return super().forward(
            sample, timestep, encoder_hidden_states, class_labels, added_cond_kwargs=added, return_dict=False
        )[0]  # fmt: skip


class UnconditionalNetwork(UNet2DModel):
    """A UNet without a condition, or with a class, as a function of tensors."""

    max_batch = BATCH

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None = None
    ) -> Tensor:
        """Return the prediction (batch, channels, height, width) for noisy images of the same size."""
        return super().forward(sample, timestep, class_labels, return_dict=False)[0]


class DiffusionUNet(DenoiserFamily):
    """The subnets of one UNet of diffusers.

    Dimensions, where more than one choice is offered: "stages" (innermost ones of equal width are left out), "mid" (the
    mid block), "stageN.layers" (pairs of residual block and transformer going down, and their partners going up), and
    by the module's path "groups" (inner channels of a residual block, in norm groups), "heads" of an attention, "width"
    of a feed-forward, "depth" of a transformer (its blocks; 0 leaves it out). "attention.bits", "feed_forward.bits" and
    "resnet.bits" are those of all weights of a kind; "merge", the share of tokens merged in the outermost
    self-attentions, touches no weight (`diffusion.denoisers.merging`). Then come the dimensions of `sampling`,
    which no network reads. Inputs are `sample` (batch, channels, size, size), `timestep` (batch), float32, and what the
    configuration asks for: `encoder_hidden_states` (batch, tokens, features), `text_embeds`, `time_ids`,
    `class_labels`.
    """

    name = "diffusion-unet"
    kinds: ClassVar = {CONDITIONAL: ConditionalNetwork, UNCONDITIONAL: UnconditionalNetwork}

    def __init__(self, *args: Any, merge: Sequence[float] = NONE) -> None:
        self._merge = merge
        super().__init__(*args)
        if len(merge) > 1:
            self.options = {**self.options, "merge": list(merge)}

    @property
    def conditional(self) -> bool:
        """Whether the network takes a text condition."""
        return self.kind == CONDITIONAL

    def plan(self, shares: Shares, removable: bool) -> DenoiserLayout:
        plan = _plan(self.template, shares, removable)
        add_merging(plan, self.config, self.size, self._merge)
        return plan

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        network = super().assemble(modules, subnet)
        if isinstance(network, ConditionalNetwork):
            stages: Any = network.up_blocks
            network.num_upsamplers = sum(block.upsamplers is not None for block in stages)
        return network

    def inputs(self, batch_size: int, noise: Callable[..., Tensor]) -> dict[str, Tensor]:
        config, template = self.template.config, self.template
        inputs = {"sample": noise(config["in_channels"], *self.size), "timestep": times(batch_size)}
        if self.conditional:
            features = config["encoder_hid_dim"] or config["cross_attention_dim"]
            inputs["encoder_hidden_states"] = noise(
                self.tokens, features if isinstance(features, int) else features[0]
            )
        if isinstance(embedding := template.class_embedding, nn.Embedding):
            inputs["class_labels"] = torch.arange(batch_size) % embedding.num_embeddings
        elif embedding is not None:
            inputs["class_labels"] = self._class_vector(noise, batch_size)
        if self.conditional and config["addition_embed_type"] == "text_time":
            width = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
            inputs["text_embeds"] = noise(width)
            inputs["time_ids"] = torch.tensor([[*self.size, 0, 0, *self.size]] * batch_size) * 8.0
        return inputs

    def _class_vector(self, noise: Callable[..., Tensor], batch_size: int) -> Tensor:
        kind = self.config.get("class_embed_type")
        if kind == "timestep":
            return times(batch_size)
        if kind == "identity":
            return noise(self.template.time_embedding.linear_2.out_features)
        return noise(self.config["projection_class_embeddings_input_dim"])

    def named(self) -> dict[str, Subnet]:
        """Return the subnets that have a name: those of every family, and those of BK-SDM where the UNet has them."""
        found = super().named()
        layers = [d for d in self.space.dimensions if d.name.endswith(".layers")]
        if self.conditional and layers and "mid" in self.space and not self.within:
            found["bk-sdm-base"] = self.uniform(1, layers=1)
            found["bk-sdm-small"] = self.uniform(1, layers=1, mid=False)
            if "stages" in self.space:
                fewer = self.space["stages"].choices[-2]
                found["bk-sdm-tiny"] = self.uniform(1, layers=1, mid=False, stages=fewer)
        return found


def _plan(template: Any, shares: Shares, removable: bool) -> DenoiserLayout:
    """Gather the dimensions, parts and gaps of a stock UNet."""
    plan, widths = DenoiserLayout(shares), template.config["block_out_channels"]
    count = least = len(widths)
    while removable and least > 1 and widths[least - 2] == widths[-1]:
        least -= 1
    if least < count:
        plan.dimensions.append(Dimension("stages", tuple(range(least, count + 1))))
    if removable and template.mid_block is not None:
        plan.dimensions.append(Dimension("mid", (False, True)))
    stages: list[Condition] = [
        ("stages", tuple(range(index + 1, count + 1))) if index >= least else None for index in range(count)
    ]
    for index, block in enumerate(template.down_blocks):
        layers = len(block.resnets)
        if removable and layers > 1:
            plan.dimensions.append(
                Dimension(f"stage{index}.layers", tuple(range(1, layers + 1)), stages[index])
            )
    _add_ends(plan, template, before=True)
    for index, block in enumerate(template.down_blocks):
        path = f"down_blocks.{index}"
        plan.gap(path, stages[index])
        _add_stage(plan, path, block, _layers(index, block, stages[index], removable))
        if block.downsamplers is not None:
            plan.gap(f"{path}.downsamplers", stages[index + 1])
            plan.part(f"{path}.downsamplers.0", block.downsamplers[0], stages[index + 1], bits=RESNET)
    if template.mid_block is not None:
        middle: Condition = ("mid", (True,)) if removable else None
        plan.gap("mid_block", middle)
        plan.reads = ("stages",) if least < count else ()  # the size of the images there
        _add_stage(plan, "mid_block", template.mid_block, [middle] * len(template.mid_block.resnets))
        plan.reads = ()
    for place, block in enumerate(template.up_blocks):
        index, path = count - 1 - place, f"up_blocks.{place}"
        plan.gap(path, stages[index])
        own = _layers(index, template.down_blocks[index], stages[index], removable)
        # The last layer goes up with the skip from the stage before, which is always there.
        _add_stage(plan, path, block, [*own, stages[index]])
        if block.upsamplers is not None:
            plan.part(f"{path}.upsamplers.0", block.upsamplers[0], stages[index], bits=RESNET)
    _add_ends(plan, template, before=False)
    return plan


def _layers(index: int, block: Any, stage: Condition, removable: bool) -> list[Condition]:
    """Return for each layer of a stage when it is there: the first always is, if the stage is."""
    layers = len(block.resnets)
    if not removable:
        return [stage] * layers
    return [
        (f"stage{index}.layers", tuple(range(place + 1, layers + 1))) if place else stage
        for place in range(layers)
    ]


def _add_stage(plan: DenoiserLayout, path: str, block: Any, conditions: Sequence[Condition]) -> None:
    attentions = getattr(block, "attentions", None) or []
    # In the mid block attention stands between two residual blocks; both are of one layer.
    for place, (resnet, condition) in enumerate(zip(block.resnets, conditions, strict=True)):
        plan.gap(f"{path}.resnets.{place}", condition)
        add_resnet(plan, f"{path}.resnets.{place}", resnet, condition)
        if place >= len(attentions) or attentions[place] is None:
            continue
        own = f"{path}.attentions.{place}"
        plan.gap(own, condition)
        if isinstance(attention := attentions[place], Transformer2DModel):
            add_transformer(plan, own, attention, condition)
        else:
            assert isinstance(attention, Attention)
            add_attention_block(plan, own, attention, condition)


_BLOCKS = ("down_blocks", "mid_block", "up_blocks")
_LAST = ("conv_norm_out", "conv_out")


def _add_ends(plan: DenoiserLayout, template: nn.Module, before: bool) -> None:
    """Add what stands before the stages (embeddings, the first convolution) or after them."""
    for name, module in template.named_children():
        has_tensors = next(module.parameters(), None) is not None
        if name not in _BLOCKS and has_tensors and (name not in _LAST) == before:
            plan.part(name, module)


def diffusion_unet(
    config: Mapping[str, Any],
    *,
    resnet: Sequence[float] = (0.25, 0.5, 0.75, 1),
    self_attention: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
    cross_attention: Sequence[float] = (0.25, 0.5, 0.75, 1),
    feed_forward: Sequence[float] = (0.25, 0.5, 0.75, 1),
    depth: Sequence[float] = (0, 0.5, 1),
    bits: Sequence[int] | None = None,
    removable: bool = True,
    sampling: Mapping[str, Sequence[Any]] | None = None,
    tokens: int = 77,
    merge: Sequence[float] = NONE,
    within: Mapping[str, Any] | None = None,
) -> DiffusionUNet:
    """Return the space of a UNet of diffusers.

    `config` is its config.json. `resnet`, `self_attention`, `cross_attention` and `feed_forward` are the shares of
    inner channels, heads and widths that are offered, `depth` those of a transformer's blocks; 0 leaves the branch out.
    `bits` are those that weights of a kind of layer may have, of 4, 8 and 32, ascending; None for floats alone.
    `removable` offers leaving out layers of a stage, the mid block and innermost stages. `sampling` adds dimensions
    that no network reads, such as {"steps": [4, 12, 25]}, cheapest choice first. `tokens` is the length of the text
    condition that costs are counted for. `merge` are the shares of tokens merged in the outermost self-attentions, 0
    the last. `within` are the choices of a subnet that is to be the largest. Raises `UsageError` for a configuration of
    another network.
    """
    shares = Shares(resnet, self_attention, cross_attention, feed_forward, depth, bits)
    require_shares(shares, tokens)
    return DiffusionUNet(config, shares, bool(removable), dict(sampling or {}), tokens, within, merge=merge)
