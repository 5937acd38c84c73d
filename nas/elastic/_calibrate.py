"""Recalibrating BatchNorm: a subnet's statistics are not slices of the supernet's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def calibrate(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
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
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()
