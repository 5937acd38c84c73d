"""Errors of a student beside its teacher: of its output, and of its features relative to their size.

What a training makes of them, and with which weights, is its recipe's: BK-SDM (Kim et al. 2024) adds both to the task's
own loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def features_of(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that a call of the network fills with what its modules put out, by their names.

    Args:
        modules: of the network, by names that teacher and student share. Of a module with several outputs the first
            one counts; one that is not run is missing.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(_module: nn.Module, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def feature_sizes(truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean square of each of the teacher's features, scalars."""
    return {name: features.square().mean() for name, features in truth.items()}


def feature_error(
    features: Mapping[str, Tensor], truth: Mapping[str, Tensor], sizes: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return the squared error of a student's features relative to the teacher's size, a mean over what both have.

    Args:
        features: of the student, by name; each has the shape of the teacher's.
        truth: of the teacher.
        sizes: `feature_sizes(truth)`, or those of a larger batch of which this is a part.
    """
    known = feature_sizes(truth) if sizes is None else sizes
    errors = [
        (features[name] - truth[name]).square().mean() / known[name].clamp_min(1e-8)
        for name in truth
        if name in features
    ]
    return torch.stack(errors).mean()


def output_error(made: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Return the mean squared error of outputs (batch, …), that of each example times its weight (batch,)."""
    return (weights * (made - wanted).square().mean([*range(1, made.ndim)])).mean()
