"""The features of a UNet after each of its stages."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from nas.compress.distil import features_of


def stage_features(network: nn.Module) -> AbstractContextManager[dict[str, Tensor]]:
    """Give a dictionary that a call of the UNet fills with the features (batch, c, h, w) after each of its stages.

    Stages keep their width in every subnet, so features of two subnets have one shape; one that is left out is missing.
    """
    stages: dict[str, Any] = {"mid_block": getattr(network, "mid_block", None)}
    for side in ("down_blocks", "up_blocks"):
        stages |= {f"{side}.{name}": stage for name, stage in getattr(network, side).named_children()}
    return features_of({name: stage for name, stage in stages.items() if stage is not None})
