"""The features of a UNet after each of its stages, and how far one network's are from another's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def stage_features(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that a call of the UNet fills with the features (batch, c, h, w) after each of its stages.

    Stages keep their width in every subnet, so features of two subnets have one shape; one that is left out is missing.
    """
    found: dict[str, Tensor] = {}
    stages: dict[str, Any] = {"mid_block": getattr(network, "mid_block", None)}
    for side in ("down_blocks", "up_blocks"):
        stages |= {f"{side}.{name}": stage for name, stage in getattr(network, side).named_children()}

    def keep(name: str):
        def hook(_module: nn.Module, _given: object, output: Any) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [stage.register_forward_hook(keep(name)) for name, stage in stages.items() if stage is not None]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def feature_sizes(truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean square of the features after each stage."""
    return {name: features.square().mean() for name, features in truth.items()}


def feature_error(
    features: Mapping[str, Tensor], truth: Mapping[str, Tensor], sizes: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return the squared error of features relative to their size, as a mean over the stages that both have.

    `sizes` are those of `feature_sizes(truth)`, or of a larger batch of which this is a part.
    """
    known = feature_sizes(truth) if sizes is None else sizes
    errors = [
        (features[name] - truth[name]).square().mean() / known[name].clamp_min(1e-8)
        for name in truth
        if name in features
    ]
    return torch.stack(errors).mean()
