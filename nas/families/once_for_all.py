"""The names of the published once-for-all MobileNetV3 (github.com/mit-han-lab/once-for-all).

The published supernet numbers its blocks through all stages and calls its layers otherwise; older checkpoints say
`mobile_inverted_conv` where newer ones say `conv`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nas.errors import NasError

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
