"""Low-rank adapters (LoRA, Hu et al. 2022) of a UNet by peft: put in, merged, and written for diffusers to load."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffusion.denoisers.native_config import native_names
from nas.files import replacing
from nas.train.seeds import seed_globals

FILE = "pytorch_lora_weights.safetensors"
_ADAPTED = (
    ".to_q", ".to_k", ".to_v", ".to_out.0", ".ff.net.0.proj", ".ff.net.2", ".conv1", ".conv2",
)  # fmt: skip


def adapted(network: nn.Module) -> list[str]:
    """Return the layers that get adapters: of attention, feed-forward and the convolutions of residual blocks."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and name.endswith(_ADAPTED)
    ]


def add_adapters(network: Any, rank: int, seed: int) -> None:
    """Freeze a UNet and give it adapters of a rank; they change nothing before they are trained."""
    from peft import LoraConfig

    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        seed_globals(seed, 0)
        network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=adapted(network)))


def merged(network: nn.Module) -> nn.Module:
    """Return a copy whose layers have their adapters added to their weights; without adapters, just a copy."""
    from peft.tuners.lora import LoraLayer

    twin = copy.deepcopy(network)
    found = [(name, module) for name, module in twin.named_modules() if isinstance(module, LoraLayer)]
    for name, module in found:
        module.merge()  # pyright: ignore[reportCallIssue]
        path, _, leaf = name.rpartition(".")
        owner = twin.get_submodule(path)
        owner._modules[leaf] = module.get_base_layer()
    return twin.requires_grad_(False)


def write_adapters(folder: Path, network: Any, stock: bool) -> Path:
    """Write the adapters as diffusers reads them: `unet.load_lora_adapter(folder, prefix=None, use_safetensors=True)`.

    `stock` says that names are to be those of the stock UNet that the merged network becomes.
    """
    from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
    from safetensors.torch import save_file

    names = native_names(merged(network)) if stock else {}

    def theirs(layer: str) -> str:
        return names.get(f"{layer}.weight", f"{layer}.weight").removesuffix(".weight")

    tensors = {}
    for name, parameter in network.named_parameters():
        layer, found, rest = name.partition(".lora_")
        if found:
            tensors[f"{theirs(layer)}.lora_{rest.replace('.default', '')}"] = (
                parameter.detach().cpu().contiguous()
            )
    config = network.peft_config["default"].to_dict()
    config |= {"target_modules": sorted(theirs(layer) for layer in adapted(merged(network)))}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    metadata = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(plain, sort_keys=True, default=str)}
    with replacing(folder / FILE) as beside:
        save_file(tensors, beside, metadata=metadata)
    return folder / FILE
