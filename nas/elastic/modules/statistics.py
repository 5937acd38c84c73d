"""Recalibrating BatchNorm: a subnet's statistics are not slices of the supernet's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.elastic.modules.inputs import Inputs, call


@torch.no_grad()
def calibrate(module: nn.Module, batches: Iterable[Inputs]) -> None:
    """Recompute the BatchNorm statistics of a static `module` as the average over `batches` of its inputs.

    The module is left in evaluation mode. Without BatchNorm layers or batches nothing changes.
    Source: slimmable networks, Yu & Huang 2019, "post-statistics of batch normalization".
    """
    norms = [
        layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    module.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        for index, batch in enumerate(batches):
            if index == 0:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None
                    norm.train()
            call(module, batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()


@torch.no_grad()
def correct_statistics(
    module: nn.Module, known: Mapping[str, torch.Tensor], estimated: Mapping[str, torch.Tensor]
) -> None:
    """Move the BatchNorm statistics of `module`, estimated on stand-in images, by the error seen where truth is known.

    `known` and `estimated` hold the statistics of another network of the supernet by buffer name, cut to the channels
    of `module`: those that real images cause, and those that the stand-in images cause. Errors of related networks
    are alike, so the difference of the means, in units of the deviation, and the ratio of the variances carry over
    (a control variate). Ratios are kept between 1/16 and 16.
    """
    for name, norm in module.named_modules():
        if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
            continue
        prefix = f"{name}." if name else ""
        variance = estimated[f"{prefix}running_var"].clamp_min(1e-8)
        shift = known[f"{prefix}running_mean"] - estimated[f"{prefix}running_mean"]
        norm.running_mean += shift * (norm.running_var / variance).clamp(1 / 16, 16).sqrt()
        norm.running_var *= (known[f"{prefix}running_var"] / variance).clamp(1 / 16, 16)


def set_statistics(module: nn.Module, known: Mapping[str, torch.Tensor]) -> None:
    """Give the BatchNorm layers of `module` the statistics that are known of it, by buffer name."""
    for name, norm in module.named_modules():
        if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
            continue
        prefix = f"{name}." if name else ""
        norm.running_mean.copy_(known[f"{prefix}running_mean"])
        norm.running_var.copy_(known[f"{prefix}running_var"])
