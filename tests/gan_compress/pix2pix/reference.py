"""Weights and pictures by a formula, so that values of the reference implementation can be compared with ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def formula_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return a state dict: waves of a frequency for each tensor, in the order of the names."""
    state = {}
    for place, name in enumerate(sorted(shapes)):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
            continue
        count = int(torch.tensor(shapes[name]).prod())
        wave = torch.sin(torch.arange(count, dtype=torch.float64) * (0.37 + 0.013 * place) + place)
        values = 1 + 0.5 * wave if name.endswith(("running_var",)) else 0.2 * wave
        state[name] = values.float().reshape(shapes[name])
    return state


def formula_pictures(count: int, size: int) -> Tensor:
    """Return pictures (count, 3, size, size), -1 to 1."""
    places = torch.arange(count * 3 * size * size, dtype=torch.float64)
    return torch.cos(places * 0.211 + 0.05 * places.sqrt()).float().reshape(count, 3, size, size)
