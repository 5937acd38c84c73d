"""Weights in half precision, as a model folder may store them: all but tensors of one axis, norms and biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def in_half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with its large tensors as float16, which a module's `load_state_dict` reads as its own type."""
    return {name: tensor.half() if _is_large(tensor) else tensor for name, tensor in state.items()}


def round_to_half(network: nn.Module) -> None:
    """Round weights, in place, to what `in_half` keeps of them."""
    for tensor in network.state_dict().values():
        if _is_large(tensor):
            tensor.copy_(tensor.half())


def _is_large(tensor: Tensor) -> bool:
    return tensor.ndim > 1 and tensor.is_floating_point()
