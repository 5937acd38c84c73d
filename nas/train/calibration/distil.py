"""Synthetic calibration images distilled from a supernet, so that users need no data to recalibrate BatchNorm.

ZeroQ (Cai et al. 2020) and DeepInversion (Yin et al. 2020): images are optimised until the statistics they cause in
front of every BatchNorm are those that real images cause. Here the real statistics are taken from several subnets,
each recalibrated on real training images, and the images serve all of them in turn. They start as dead leaves, not as
noise, and labels count for little: from noise and with ten times that weight, 300 steps left a CIFAR-10 supernet at
30-38% where real images give 70-80%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.elastic import Supernet
from nas.metrics.accuracy import Normalizer, calibrated
from nas.models import Calibration
from nas.progress import Steps
from nas.space import Subnet
from nas.train.calibration.dead_leaves import dead_leaves

COUNT = 256


@dataclass(frozen=True)
class _Target:
    """A subnet, its static module, and the statistics to match, by BatchNorm layer."""

    subnet: Subnet
    module: nn.Module
    norms: list[nn.BatchNorm2d]
    means: list[Tensor]
    log_vars: list[Tensor]


def distil(
    supernet: Supernet,
    real: Tensor,
    normalizer: Normalizer,
    *,
    classes: int | None,
    start: Tensor | None = None,
    count: int = COUNT,
    steps: int = 600,
    subnets: int = 6,
    lr: float = 0.03,
    label_weight: float = 0.01,
    seed: int = 0,
    progress: Steps | None = None,
) -> Tensor:
    """Distil `count` images, uint8 (count, 3, h, w), from `supernet` with the statistics that uint8 `real` causes.

    Matches BatchNorm means and log-variances of `subnets` subnets (smallest, largest, random ones) in turn, plus
    `label_weight` times the cross-entropy with balanced labels of `classes`, if the outputs are logits; Adam at `lr` on
    normalised pixels, from `start` (uint8, `count` then is its length) or dead leaves.
    """
    device = next(supernet.parameters()).device
    targets = [_target(supernet, subnet, real, normalizer) for subnet in _spread(supernet, subnets, seed)]
    if start is None:
        start = torch.from_numpy(dead_leaves(count, (real.shape[-2], real.shape[-1]), seed))
    labels = None if classes is None else (torch.arange(len(start)) % classes).to(device)
    low, high = _limits(real, normalizer)
    images = normalizer(start).to(device).contiguous(memory_format=torch.channels_last).requires_grad_()
    optimizer = torch.optim.Adam([images], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        target = targets[step % len(targets)]
        optimizer.zero_grad(set_to_none=True)
        loss, outputs = _mismatch(target, supernet.family.prepare(images, target.subnet))
        if labels is not None:
            loss = loss + label_weight * F.cross_entropy(outputs, labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            images.clamp_(low, high)
        if progress:
            progress(step + 1, steps)
    return _to_pixels(images.detach(), low, high)


def _spread(supernet: Supernet, count: int, seed: int) -> list[Subnet]:
    space, rng = supernet.space, np.random.default_rng(seed)
    chosen = [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(count - 2))]
    return chosen[:count]


def with_statistics(
    supernet: Supernet, images: Tensor, real: Tensor | None, normalizer: Normalizer
) -> Calibration:
    """Return uint8 `images` with the statistics that they and uint8 `real` cause in the network as it was trained.

    Where `real` is None its own statistics are those of real images.
    """
    device = next(supernet.parameters()).device
    kinds = []
    for pictures in (real, images):
        given = None if pictures is None else pictures.to(device)
        network = calibrated(supernet, supernet.family.native, given, normalizer)
        kinds.append(
            {
                name: buffer.detach().cpu().float()
                for name, buffer in network.named_buffers()
                if name.endswith(("running_mean", "running_var"))
            }
        )
    return Calibration(images.cpu(), *kinds)


def _target(supernet: Supernet, subnet: Subnet, real: Tensor, normalizer: Normalizer) -> _Target:
    module = calibrated(supernet, subnet, real, normalizer).requires_grad_(False)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    means = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    log_vars = [norm.running_var.clamp_min(1e-8).log() for norm in norms if norm.running_var is not None]
    # The images will be used to recompute statistics layer after layer, so layers normalise by the batch here too.
    for norm in norms:
        norm.train()
        norm.momentum = 0.0
    return _Target(subnet, module, norms, means, log_vars)


def _mismatch(target: _Target, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared difference of statistics (in units of the real deviation) and the outputs."""
    seen: list[Tensor] = []
    hooks = [norm.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for norm in target.norms]
    try:
        outputs = target.module(images)
    finally:
        for hook in hooks:
            hook.remove()
    loss = torch.zeros((), device=images.device)
    for features, mean, log_var in zip(seen, target.means, target.log_vars, strict=True):
        var_now, mean_now = torch.var_mean(features, dim=(0, 2, 3))
        loss = loss + ((mean_now - mean).square() * (-log_var).exp()).mean()
        loss = loss + (var_now.clamp_min(1e-8).log() - log_var).square().mean()
    return loss / len(seen), outputs


def _limits(real: Tensor, normalizer: Normalizer) -> tuple[Tensor, Tensor]:
    """Return the normalised values of black and white, each (1, 3, 1, 1)."""
    ends = torch.stack([torch.zeros_like(real[0, :, :1, :1]), torch.full_like(real[0, :, :1, :1], 255)])
    low, high = normalizer(ends).split(1)
    return low, high


def _to_pixels(images: Tensor, low: Tensor, high: Tensor) -> Tensor:
    pixels = (images - low) / (high - low) * 255
    return pixels.round().clamp(0, 255).to("cpu", torch.uint8, memory_format=torch.contiguous_format)
