"""Which subnets a stock configuration of diffusers can say: those that leave out whole layers, blocks and stages.

Inner widths of a single layer cannot be said, and `ignore_mismatched_sizes=True` would silently draw them at random.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import nn

from diffusion.denoisers.blocks import NoAttention, Nothing, NoTransformer, Shortcut
from diffusion.denoisers.family import DenoiserFamily
from diffusion.denoisers.merging import is_merged
from diffusion.denoisers.unet import ConditionalNetwork, DiffusionUNet, UnconditionalNetwork
from nas.elastic import quantized_layers
from nas.space import Subnet

_BY_STAGE = (
    "block_out_channels", "down_block_types", "attention_head_dim", "cross_attention_dim", "only_cross_attention",
    "layers_per_block", "transformer_layers_per_block",
)  # fmt: skip
_AT_MID = ("attention_head_dim", "cross_attention_dim")
"""Values of the last stage, which the mid block takes."""


def native_config(family: DenoiserFamily, subnet: Subnet) -> dict[str, Any] | None:
    """Return the stock configuration of `subnet`, its class in "_class_name"; None where there is none."""
    with torch.device("meta"):
        network: Any = family.build(subnet)
    if not _is_whole(network, family.template):
        return None
    config: dict[str, Any] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in family.template.config.items()
        if not key.startswith("_")
    }
    config["_class_name"] = family.kind
    if isinstance(family, DiffusionUNet):
        return _unet_config(family, subnet, network, config)
    config["num_layers"] = len(network.transformer_blocks)
    return config


def _unet_config(
    family: DiffusionUNet, subnet: Subnet, network: Any, config: dict[str, Any]
) -> dict[str, Any] | None:
    """Change the full network's configuration to that of a UNet whose blocks are whole; None where there is none."""
    if config.get("reverse_transformer_layers_per_block") is not None:
        return config if subnet == family.uniform(1) and not family.within else None
    full, stages = len(config["block_out_channels"]), len(network.down_blocks)
    last = {key: config[key][-1] for key in _AT_MID if isinstance(config.get(key), list)}
    for key in _BY_STAGE:
        if isinstance(config.get(key), list):
            config[key] = config[key][:stages]
    config["up_block_types"] = config["up_block_types"][full - stages :]
    if network.mid_block is None:
        config["mid_block_type"] = None
    elif any(config[key][-1] != value for key, value in last.items()):
        return None
    return config if _set_layers(config, network) and _set_attention(config, network) else None


def _is_whole(network: nn.Module, template: nn.Module) -> bool:
    """Say whether every block that the network has is the template's: as large, of floats, and nothing inside lacks."""
    full = template.state_dict()
    if next(quantized_layers(network), None) is not None:
        return False
    if any(tensor.shape != full[name].shape for name, tensor in network.state_dict().items()):
        return False
    for name, module in network.named_modules():
        if isinstance(module, Shortcut | Nothing) or is_merged(module):
            return False
        if isinstance(module, BasicTransformerBlock):
            stock = template.get_submodule(name)
            assert isinstance(stock, BasicTransformerBlock)
            if (module.attn2 is None) != (stock.attn2 is None):
                return False
    return True


def _depths(block: Any) -> list[int]:
    """Return how many transformer blocks each transformer of a block has; an attention block counts as one."""
    attentions = [module for module in getattr(block, "attentions", None) or [] if module is not None]
    return [
        0
        if isinstance(module, NoTransformer | NoAttention)
        else len(getattr(module, "transformer_blocks", "1"))
        for module in attentions
    ]


def _set_layers(config: dict[str, Any], network: Any) -> bool:
    """Set the layers of each stage; return whether they can be said."""
    layers = [len(block.resnets) for block in network.down_blocks]
    if len(set(layers)) == 1:
        config["layers_per_block"] = layers[0]
    elif isinstance(network, ConditionalNetwork):
        config["layers_per_block"] = layers
    else:
        return False
    return True


def _set_attention(config: dict[str, Any], network: Any) -> bool:
    """Set block types and transformer depths; return whether they can be said."""
    down, up = [*network.down_blocks], [*network.up_blocks]
    sides = (config["down_block_types"], down), (config["up_block_types"], up)
    deep: list[int | None] = []
    for stage in range(len(down)):
        found: set[int] = set()
        for (types, blocks), place in zip(sides, (stage, len(up) - 1 - stage), strict=True):
            own = set(_depths(blocks[place]))
            if len(own) > 1:
                return False
            if own == {0}:
                types[place] = types[place].removeprefix("Cross").removeprefix("Attn")
            found |= own - {0}
        if len(found) > 1:
            return False
        deep.append(next(iter(found), None))
    middle = _depths(network.mid_block)
    if isinstance(network, UnconditionalNetwork):
        if middle == [0]:
            config["add_attention"] = False
        return True
    if middle and (middle[0] == 0 or deep[-1] not in (None, middle[0])):
        return False
    if middle:
        deep[-1] = middle[0]
    depth = [1 if value is None else value for value in deep]
    config["transformer_layers_per_block"] = depth[0] if len(set(depth)) == 1 else depth
    return True


def native_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each tensor of a static network in the stock network: modules of lists are counted anew."""
    return dict(_renumbered(network, "", ""))


def _renumbered(module: nn.Module, own: str, stock: str) -> Iterable[tuple[str, str]]:
    for name in (*module._parameters, *module._buffers):
        yield f"{own}{name}", f"{stock}{name}"
    for place, (name, child) in enumerate(module._modules.items()):
        if child is not None:
            new = str(place) if isinstance(module, nn.ModuleList) else name
            yield from _renumbered(child, f"{own}{name}.", f"{stock}{new}.")
