"""Low-rank adapters of a UNet: which layers get them, and how they are written for diffusers to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from diffusion.denoisers.native_config import native_names
from nas.compress.lora import adaptable, add_adapters, merged
from nas.files import replacing

FILE = "pytorch_lora_weights.safetensors"
_ADAPTED = (
    ".to_q", ".to_k", ".to_v", ".to_out.0", ".ff.net.0.proj", ".ff.net.2", ".conv1", ".conv2",
)  # fmt: skip


def adapted(network: nn.Module) -> list[str]:
    """Return the layers that get adapters: of attention, feed-forward and the convolutions of residual blocks."""
    return adaptable(network, _ADAPTED)


def adapt(network: nn.Module, rank: int, seed: int) -> None:
    """Freeze a UNet and give it adapters of a rank; they change nothing before they are trained."""
    add_adapters(network, rank, adapted(network), seed=seed)


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
