"""The state that both trainings of generators have: the supernet, and a discriminator in some stages."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nas.elastic import Supernet
from nas.train import saved


@dataclass(kw_only=True)
class Saved(saved.Saved):
    """A state of networks and optimizers, each a field that may be None; `step` counts finished steps."""

    supernet: Supernet
    judge: nn.Module | None = None

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained."""
        return [self.supernet] if self.judge is None else [self.supernet, self.judge]
