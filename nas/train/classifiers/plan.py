"""Which images belong to which step and rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.errors import NasError
from nas.seeds import epoch_order
from nas.train.classifiers.recipe import ClassifierRecipe
from nas.train.processes import Processes


@dataclass(frozen=True)
class BatchPlan:
    """Which images belong to which step and rank."""

    count: int
    batch_size: int
    seed: int
    rank: int
    ranks: int
    shares: np.ndarray | None = None
    """How likely each image is drawn; None where an epoch goes through all."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; the few images left over differ from epoch to epoch."""
        return self.count // self.batch_size

    @property
    def share(self) -> tuple[int, int]:
        """Start and stop of this rank's part of every batch."""
        return self.rank * self.batch_size // self.ranks, (self.rank + 1) * self.batch_size // self.ranks

    def indices(self, step: int) -> np.ndarray:
        """Return the images of this rank's part of `step`."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.seed, epoch, self.count, self.shares)
        start, stop = self.share
        return order[within * self.batch_size + start : within * self.batch_size + stop]


def make_plan(recipe: ClassifierRecipe, labels: np.ndarray, processes: Processes) -> BatchPlan:
    """Return the plan of this process for images of `labels`.

    A batch is the whole data set at most, and an equal share for every rank.
    """
    several, count = processes.size, len(labels)
    size = min(recipe.batch_size, count) // (2 * several) * (2 * several)
    if size == 0:
        raise NasError(
            f"{count} training images are too few for {several} processes; at least 2 for each are needed"
        )
    shares = None
    if recipe.class_balance:
        weights = np.bincount(labels)[labels] ** -recipe.class_balance
        shares = weights / weights.sum()
    return BatchPlan(count, size, recipe.seed, processes.rank, several, shares)
