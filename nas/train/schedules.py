"""Learning rates and shares of moving averages as functions of the step: a resumed run needs no stored schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch.optim import Optimizer


def set_rate(optimizer: Optimizer, rate: float, share: float = 1.0) -> None:
    """Set the learning rate of the step to come: `rate` × a parameter group's own "factor" × `share`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0) * share


def warmup_cosine(
    step: int, *, peak: float, steps: int, warmup: int, start: float, least: float = 0.0
) -> float:
    """Return the rate of `step`: a straight rise from `start` in `warmup` steps, then the cosine over all `steps`.

    As timm's `CosineLRScheduler`: the cosine begins at step 0, and the rise replaces its first part.
    """
    if step < warmup:
        return start + step * ((peak - start) / warmup)
    return least + 0.5 * (peak - least) * (1 + math.cos(math.pi * step / steps)) if step < steps else least


def cooldown_share(step: int, *, steps: int, cooldown: float) -> float:
    """Return the share of the rate in `step`: 1, and in the share `cooldown` of the `steps`, at the end, down to 0."""
    return min(1.0, (steps - step) / max(1.0, cooldown * steps))


def cool_down(
    rates: Iterable[tuple[Optimizer | None, float]], step: int, *, steps: int, cooldown: float
) -> None:
    """Set the rates of optimizers for `step`, each its own times `cooldown_share`; those that are None are left out."""
    share = cooldown_share(step, steps=steps, cooldown=cooldown)
    for optimizer, rate in rates:
        if optimizer is not None:
            set_rate(optimizer, rate, share)


def constant_then_cosine(step: int, *, peak: float, steps: int, warmup: int, cooldown_start: int) -> float:
    """Return the rate of `step`: a straight rise, a constant rate, from `cooldown_start` on a cosine to 0."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    share = (step - cooldown_start) / max(1, steps - cooldown_start)
    return peak * rise * (1 + math.cos(math.pi * min(1.0, max(0.0, share)))) / 2


def ema_by_steps(decay: float, step: int) -> float:
    """Return the kept share after `step` finished steps: `decay`, and less at first (1 + step) / (10 + step)."""
    return min(decay, (1 + step) / (10 + step))


def ema_by_images(images: int, batch_size: int, *, half_life: float, rampup: float) -> float:
    """Return the kept share after `images` images, for a `half_life` in images, at most `rampup` of those seen.

    Karras et al. 2020, StyleGAN2.
    """
    return 0.5 ** (batch_size / min(half_life, max(images * rampup, 1e-8)))


def ema_by_power(decay: float, step: int) -> float:
    """Return the kept share after `step` finished steps: 1 - step^(-2/3), at most `decay`, as timm's `ModelEmaV3`."""
    return max(0.0, min(decay, 1 - (1 + max(0, step - 1)) ** (-2 / 3)))
