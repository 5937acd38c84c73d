"""Reading the published once-for-all MobileNetV3 checkpoints (github.com/mit-han-lab/once-for-all).

The published supernet numbers its blocks through all stages and calls its layers otherwise; older checkpoints say
`mobile_inverted_conv` where newer ones say `conv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from nas._errors import NasError, UsageError
from nas.families.mobilenetv3 import MobileNetV3

if TYPE_CHECKING:
    import torch

    from nas.elastic import Supernet
    from nas.space import Subnet

_BLOCK = re.compile(r"blocks\.(\d+)\.(?:conv|mobile_inverted_conv)\.(.+)")
_LAYERS = {"inverted_bottleneck": "expand", "depth_conv": "depthwise", "point_linear": "project"}
_ENDS = {
    "first_conv.conv": "stem.conv",
    "first_conv.bn": "stem.norm",
    "final_expand_layer.conv": "final_expand.conv",
    "final_expand_layer.bn": "final_expand.norm",
    "feature_mix_layer.conv": "feature_mix.conv",
    "classifier.linear": "classifier",
}


def _positions(family: MobileNetV3) -> list[str]:
    """Return the path of each numbered block; block 0 is the fixed first one."""
    stages = enumerate(family.shape.stages, 1)
    return ["first", *(f"stages.{s}.{b}" for s, stage in stages for b in range(1, stage.depths[-1] + 1))]


def rename(key: str, positions: Sequence[str]) -> str:
    """Return our name of a published tensor; raises `NasError` for one that the published supernets do not have."""
    block = _BLOCK.fullmatch(key)
    if block is None:
        path, _, leaf = key.rpartition(".")
        if path not in _ENDS:
            raise NasError(
                f"the checkpoint has a tensor {key!r}, which no once-for-all MobileNetV3 has; give another"
            )
        return f"{_ENDS[path]}.{leaf}"
    number, rest = int(block[1]), block[2]
    layer, _, inner = rest.partition(".")
    if number >= len(positions) or layer not in _LAYERS:
        raise NasError(
            f"the checkpoint has a tensor {key!r}, which no once-for-all MobileNetV3 has; give another"
        )
    prefix = positions[number]
    if inner.startswith("se.fc."):
        return f"{prefix}.squeeze.{inner.removeprefix('se.fc.')}"
    if inner.endswith("_matrix"):
        return f"{prefix}.{_LAYERS[layer]}.conv.matrix_{inner.split('.')[-1].removesuffix('_matrix')}"
    leaf = inner.rpartition(".")[2]
    kind = "norm" if inner.startswith("bn.") else "conv"
    return f"{prefix}.{_LAYERS[layer]}.{kind}.{leaf}"


def load_published(supernet: Supernet, state: Mapping[str, torch.Tensor]) -> None:
    """Load the state dict of a published supernet; raises `NasError` naming what is missing or has another shape."""
    family = supernet.family
    if not isinstance(family, MobileNetV3):
        raise UsageError(
            f"{family.name} is no once-for-all MobileNetV3; its checkpoints cannot be loaded into it"
        )
    positions = _positions(family)
    renamed = {rename(key, positions): tensor for key, tensor in state.items()}
    own = supernet.network.state_dict()
    # Networks without an elastic kernel transform leave the identity in place.
    missing = [
        k for k in own if k not in renamed and ".matrix_" not in k and not k.endswith("num_batches_tracked")
    ]
    unknown = [key for key in renamed if key not in own]
    if missing or unknown:
        which = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which this network has not"
        raise NasError(f"the checkpoint {which}; give the supernet of this width and these stages")
    for key, tensor in renamed.items():
        if tuple(tensor.shape) != tuple(own[key].shape):
            raise NasError(
                f"the checkpoint's {key} has shape {tuple(tensor.shape)}, but {tuple(own[key].shape)} is expected; "
                "check width and classes"
            )
    supernet.network.load_state_dict(renamed, strict=False)


def read_checkpoint(path_or_url: str | Path) -> dict[str, Any]:
    """Read a published checkpoint from a file or URL with `weights_only=True`: nothing in it is executed.

    Both a plain state dict and one under "state_dict" are taken; a `.safetensors` file too.
    """
    import torch

    text = str(path_or_url)
    try:
        if urlparse(text).scheme in ("http", "https"):
            value = torch.hub.load_state_dict_from_url(text, map_location="cpu", weights_only=True)
        elif text.endswith(".safetensors"):
            from safetensors.torch import load_file

            value = load_file(text)
        else:
            value = torch.load(text, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise NasError(f"{text} does not exist; give a checkpoint file or its URL") from error
    except OSError as error:
        raise NasError(
            f"{text} cannot be read ({error}); it may be truncated, or the path or network wrong"
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise NasError(
            f"{text} is no checkpoint of plain tensors ({reason}); it may be truncated or unsafe"
        ) from error
    state = value.get("state_dict", value) if isinstance(value, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(v, torch.Tensor) for v in state.values())
    ):
        raise NasError(
            f"{text} holds no state dict; give a checkpoint whose 'state_dict' maps names to tensors"
        )
    return state


def published_subnet(
    family: MobileNetV3, ks: Sequence[int], e: Sequence[int], d: Sequence[int], resolution: int
) -> Subnet:
    """Return the subnet that `set_active_subnet(ks, e, d)` activates in the published code, at `resolution`."""
    choices: dict[str, int] = {"resolution": resolution}
    entry = 0
    for s, stage in enumerate(family.shape.stages, 1):
        choices[f"stage{s}.depth"] = d[s - 1]
        for b in range(1, stage.depths[-1] + 1):
            choices[f"stage{s}.block{b}.kernel"] = ks[entry]
            choices[f"stage{s}.block{b}.expand"] = e[entry]
            entry += 1
    return family.space.subnet(choices)
