"""One step of elastic training: the sandwich of subnets, each beside the frozen original."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from diffusion.training.distil.batches import Distiller, Errors
from diffusion.training.distil.recipe import DistillationRecipe
from diffusion.training.distil.state import DistillationState
from diffusion.training.images import Captioned
from diffusion.training.step import take_step
from nas.seeds import subnet_rng
from nas.space import Subnet
from nas.train.objective import Losses
from nas.train.processes import Processes
from nas.train.sampling import sandwich


class DistillationSteps:
    """The training steps of a state; each of several processes takes its share of every batch."""

    def __init__(
        self,
        recipe: DistillationRecipe,
        state: DistillationState,
        teacher: nn.Module,
        pipeline: Any,
        data: Captioned,
        processes: Processes | None = None,
    ) -> None:
        self._recipe, self._state = recipe, state
        self._processes = processes or Processes(0, 1, state.device)
        self.distiller = Distiller(recipe, teacher, pipeline, data, self._processes)

    def subnets(self) -> list[Subnet]:
        """Return the subnets of the step to come: the largest, the narrowest, and some at random.

        The smallest of all has no cross-attention left in it, so no words reach it: it would teach the others nothing.
        """
        recipe, family = self._recipe, self._state.family

        def draw(rng: np.random.Generator) -> Subnet:
            if rng.random() < recipe.uniform_share:
                return family.uniform(float(rng.uniform(0.2, 1)))
            return family.space.sample(rng)

        rng = subnet_rng(recipe.seed, self._state.step)
        return sandwich(family.space, rng, recipe.random_subnets, smallest=family.uniform(0), draw=draw)

    def take(self) -> Losses:
        """Take one step."""
        return take_step(self._recipe, self._state, self._processes, self._backward)

    def _backward(self) -> Losses:
        """Add the gradients of all subnets; returns what is told of the step."""
        batch = self.distiller.batch(self._state.step)
        subnets, told = self.subnets(), {}
        for place, subnet in enumerate(subnets):
            # The backward pass may run blocks again, so the subnet keeps its slices until then.
            with self._state.supernet.bound(subnet) as network:
                errors = self.distiller.errors(batch, network)
                (errors.loss / len(subnets)).backward()
            told = _told(told, place, errors, len(subnets))
        return told


def _told(told: Losses, place: int, errors: Errors, count: int) -> Losses:
    """Add a subnet's losses: means over all, and the output's error of the largest and the narrowest alone."""
    for name, value in (("loss", errors.loss), ("output", errors.output), ("feature", errors.feature)):
        told[name] = told.get(name, torch.zeros((), device=value.device)) + value.detach() / count
    if place < 2:
        told[("largest", "narrowest")[place]] = errors.output.detach()
    return told
