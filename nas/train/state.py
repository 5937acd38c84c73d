"""What changes while a network is trained: weights, their moving average, optimizers, the step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nas.elastic import Supernet
from nas.errors import NasError


class MovingAverage(AveragedModel):
    """torch's averaged model with a share that may change from step to step; `module` has the averaged weights.

    Args:
        network: What is averaged; copied, without gradients and in evaluation mode.
        use_buffers: Whether floating-point buffers are averaged too, and others copied.
    """

    def __init__(self, network: nn.Module, *, use_buffers: bool = False) -> None:
        super().__init__(network, multi_avg_fn=self._average, use_buffers=use_buffers)
        self.requires_grad_(False).eval()
        self.n_averaged.fill_(1)  # torch copies at the first update; here the first weights count like any
        self._kept = 0.0

    def update(self, network: nn.Module, kept: float) -> None:
        """Move the averaged weights towards those of `network`, keeping the share `kept` of them."""
        self._kept = kept
        self.update_parameters(network)

    def _average(self, averaged: Sequence[Tensor], now: Sequence[Tensor], _count: object) -> None:
        if averaged[0].is_floating_point():
            get_ema_multi_avg_fn(self._kept)([*averaged], [*now], 0)
        else:
            for kept, given in zip(averaged, now, strict=True):
                kept.copy_(given)


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def frozen(module: ModuleT) -> ModuleT:
    """Return a copy that no longer learns."""
    return copy.deepcopy(module).requires_grad_(False).eval()


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number in floating-point tensors of one device is infinite or not a number; it waits for that once."""
    found = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not found or bool(torch.stack(found).all())


@dataclass(kw_only=True)
class TrainingState:
    """Networks and optimizers, each a field that may be None; `step` counts finished steps.

    A subclass says which networks are `trained`. Modules and optimizers are saved and loaded by the names of their
    fields; of a moving average the averaged network.
    """

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
        plain = {n: item.module if isinstance(item, MovingAverage) else item for n, item in found.items()}
        return {name: item for name, item in plain.items() if item is not None}

    def networks(self) -> list[nn.Module]:
        """Return all networks, trained, averaged and frozen."""
        return [item for item in self._items().values() if isinstance(item, nn.Module)]

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {name: item.state_dict() for name, item in self._items().items()}

    def load(self, step: int, values: dict[str, Any]) -> None:
        """Take over what `to_dict` gave at `step`; raises `NasError` where it is of other networks."""
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
        """Whether all that a checkpoint keeps is finite: weights, statistics, averages and optimizers' momenta."""
        items = self._items().values()
        optimizers = (item for item in items if isinstance(item, torch.optim.Optimizer))
        # Some optimizers count steps in a tensor on the processor, which is always finite.
        momenta = (
            value
            for optimizer in optimizers
            for values in optimizer.state.values()
            for value in values.values()
            if isinstance(value, Tensor) and value.dim()
        )
        kept = (tensor for network in self.networks() for tensor in network.state_dict().values())
        return are_finite(chain(kept, momenta))


@dataclass(kw_only=True)
class SupernetState(TrainingState):
    """A supernet that is trained, its moving average, and the optimizer."""

    supernet: Supernet
    ema: MovingAverage
    optimizer: torch.optim.Optimizer

    def trained(self) -> list[nn.Module]:
        return [self.supernet]

    @property
    def averaged(self) -> Supernet:
        """The supernet of the averaged weights."""
        assert isinstance(self.ema.module, Supernet)
        return self.ema.module
