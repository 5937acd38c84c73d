"""What every training's state has in common: it is saved, loaded again, and checked for numbers that are none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nas._errors import NasError


def move_average(kept: Iterable[Tensor], now: Iterable[Tensor], beta: float) -> None:
    """Move averaged weights towards the present ones, keeping `beta` of them: one launch for all tensors of a device.

    Raises `ValueError` where there are not as many of one as of the other.
    """
    first, second = [*kept], [*now]
    if len(first) != len(second):
        raise ValueError(f"{len(first)} averaged weights cannot follow {len(second)}")
    get_ema_multi_avg_fn(beta)(first, second, 0)


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number in floating-point tensors of one device is infinite or not a number; it waits for that once."""
    found = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not found or bool(torch.stack(found).all())


@dataclass(kw_only=True)
class Saved:
    """A state of networks and optimizers, each a field that may be None; `step` counts finished steps."""

    step: int = 0

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained; the first says where all are."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.trained()[0].parameters()).device

    def _items(self) -> dict[str, Any]:
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "step"}
        return {name: item for name, item in found.items() if item is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {name: item.state_dict() for name, item in self._items().items()}

    def load(self, step: int, values: dict[str, Any]) -> None:
        """Take over what `to_dict` gave at `step`."""
        try:
            for name, item in self._items().items():
                item.load_state_dict(values[name])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise NasError(
                f"the checkpoint does not fit the recipe's networks ({reason}); train anew"
            ) from error
        self.step = step

    def is_finite(self) -> bool:
        """Whether no trained weight is infinite or not a number."""
        return are_finite(weight for network in self.trained() for weight in network.parameters())
