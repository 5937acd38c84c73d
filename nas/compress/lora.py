"""Low-rank adapters (LoRA, Hu et al. 2022) of any network's linear and convolution layers, by peft.

A network that was cut is recovered with few trained numbers: adapters are added to its frozen layers, trained, and
merged into their weights, after which it is the plain network again. Needs the package peft (extra "diffusion").
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from nas.errors import UsageError
from nas.seeds import seed_globals


def adaptable(network: nn.Module, endings: Sequence[str] = ("",)) -> list[str]:
    """Return the paths of the layers that adapters can be added to.

    Args:
        network: any.
        endings: how the names of the wanted layers end, such as (".to_q", ".conv1"); by default every layer.

    Returns:
        Of every `nn.Linear` and ungrouped `nn.Conv2d` (others cannot be merged) its path, in the network's order.
    """
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and getattr(module, "groups", 1) == 1
        and name.endswith(tuple(endings))
    ]


def add_adapters(
    network: nn.Module, rank: int, layers: Sequence[str] | None = None, *, seed: int = 0
) -> None:
    """Freeze a network and give layers of it adapters, the only parameters that are trained then.

    They change nothing before they are trained: the second of their two matrices is 0.

    Args:
        network: is changed in place; an optimizer's parameters are those that require a gradient.
        rank: of the adapters, at least 1.
        layers: paths of layers, by default those of `adaptable`.
        seed: of the adapters' first matrices.

    Raises:
        UsageError: no such layer, or a rank below 1.
    """
    from peft import LoraConfig, inject_adapter_in_model

    chosen = adaptable(network) if layers is None else [*layers]
    unknown = next((name for name in chosen if name not in adaptable(network)), None)
    if not chosen or unknown is not None:
        raise UsageError(
            f"adapters need linear layers or ungrouped convolutions, but {unknown or 'the network'} "
            f"{'is none' if unknown else 'has none'}; name others"
        )
    if rank < 1:
        raise UsageError(f"the rank of adapters is {rank}; give at least 1")
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        seed_globals(seed, 0)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=chosen), network)


def merged(network: nn.Module) -> nn.Module:
    """Return a frozen copy whose layers have their adapters added to their weights; without adapters, just a copy."""
    from peft.tuners.lora import LoraLayer

    twin = copy.deepcopy(network)
    found = [(name, module) for name, module in twin.named_modules() if isinstance(module, LoraLayer)]
    for name, module in found:
        module.merge()  # pyright: ignore[reportCallIssue]
        path, _, leaf = name.rpartition(".")
        twin.get_submodule(path)._modules[leaf] = module.get_base_layer()
    return twin.requires_grad_(False)
