"""What differs between trainings: their networks, what a step does, what is shown meanwhile and left at the end.

`nas.train.trainer.Trainer` does the rest, once for all: the loop, several processes, checkpoints, logs, stops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from nas.train.checkpoint import Checkpoint
from nas.train.log import Log
from nas.train.processes import Processes
from nas.train.settings import Settings
from nas.train.state import TrainingState

Losses = dict[str, Tensor]
"""The losses of one step by name, detached."""
RecipeT = TypeVar("RecipeT", bound=Settings)
StateT = TypeVar("StateT", bound=TrainingState)


@dataclass(frozen=True)
class Setup:
    """Where a training runs, and the checkpoint that it goes on from, if any."""

    folder: Path
    processes: Processes
    checkpoint: Checkpoint | None = None

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return self.processes.device


@dataclass(frozen=True)
class Lengths:
    """How long a training is, in steps, and how often what happens; `batch_size` counts samples."""

    steps: int
    batch_size: int
    checkpoint_every: int
    evaluate_every: int
    log_every: int


class Objective(ABC, Generic[RecipeT, StateT]):
    """One kind of training: what `nas.train.trainer.Trainer` does not know of it.

    Life cycle: it is made with what it needs (a recipe, data, a `Setup`) and settles what the recipe leaves open;
    `build` makes the networks of step 0; then a checkpoint is loaded into `state`, or `begin` gives them the weights
    of a start. Each `step` adds gradients and updates weights; every few steps `evaluate` shows what is learned; at
    the end `finish` writes the model's folder. Whatever is random in `build` and `step` is a function of the recipe's
    seed and the step (`nas.seeds`), so that a training that was stopped goes on to the same bits.

    `nas.testing.trainers` has the tests that a training must pass.

    Attributes:
        columns: Of `log.csv`, in order; what a row lacks stays empty.
        leading: Losses of which the first that there is leads the progress line; `shown` follow it.
        rates: The settings of the learning rates, named where a loss is no longer finite.
        remarks: What to say before the first step.
        recipe: Every number that decides the result.
        state: What `build` returned.
    """

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "images_per_s")
    leading: ClassVar[tuple[str, ...]] = ("loss",)
    shown: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("lr",)

    remarks: Sequence[str] = ()
    recipe: RecipeT
    setup: Setup
    state: StateT

    @property
    def lengths(self) -> Lengths:
        """How long the training is; by default the recipe counts in steps."""
        recipe: Any = self.recipe
        return Lengths(
            recipe.steps, recipe.batch_size, recipe.checkpoint_steps, recipe.sample_every, recipe.log_every
        )

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """What decides the weights beside the recipe, as JSON: a checkpoint is bound to it."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What a checkpoint carries for whoever opens it without the data."""
        return {}

    @abstractmethod
    def build(self) -> StateT:
        """Make the state of step 0, a function of the recipe's seed, on the setup's device.

        Returns:
            Networks, averages, optimizers: everything that a checkpoint holds.
        """

    def begin(self) -> None:
        """Make a new run's networks ready: with the weights of a start, their channels sorted."""

    @abstractmethod
    def step(self) -> Losses:
        """Take one step, a function of the recipe's seed and `state.step`; the trainer counts it.

        A process takes its share of the batch (`setup.processes`), and updates weights through `update`, which
        averages the gradients over all processes.

        Returns:
            The losses by name, detached scalars. Where one is not finite the trainer stops and keeps the last
            checkpoint.
        """

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        """Show what is learned; the main process alone is asked.

        Args:
            samples: The picture to write, if there is something to look at.
            log: Says figures.

        Returns:
            Figures for columns of `log.csv`.
        """
        return {}

    @abstractmethod
    def finish(self, folder: Path, log: Log) -> None:
        """Write the trained model, as a whole or not at all; the main process alone is asked.

        Args:
            folder: The model's; it does not exist.
            log: Says figures.
        """


def update(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    processes: Processes,
    clip: float = 0.0,
) -> None:
    """Update weights by their gradients: averaged over all processes, at most of the norm `clip` (0: any)."""
    weights = [parameter for parameter in parameters if parameter.grad is not None]
    processes.average(weight.grad for weight in weights if weight.grad is not None)
    if clip:
        nn.utils.clip_grad_norm_(weights, clip)
    optimizer.step()
