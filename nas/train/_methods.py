"""What one training step does with the supernet: the sandwich rule, or once-for-all's progressive shrinking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nas._errors import UsageError
from nas.elastic import Supernet
from nas.space import SearchSpace, Subnet
from nas.train._random import subnet_rng
from nas.train.recipe import Recipe


@dataclass(frozen=True)
class Context:
    """What every step needs."""

    supernet: Supernet
    recipe: Recipe
    steps_per_epoch: int
    autocast: Callable[[], torch.autocast]

    @property
    def largest_steps(self) -> int:
        """Steps at the start that train the largest network alone."""
        return round(self.recipe.largest_epochs * self.steps_per_epoch)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.recipe.epochs * self.steps_per_epoch

    def run(self, images: Tensor, subnet: Subnet) -> Tensor:
        """Return the logits of `subnet`, float32."""
        with self.autocast():
            logits = self.supernet(self.supernet.family.prepare(images, subnet), subnet)
        return logits.float()

    def true_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with smoothed labels; mixed targets arrive smoothed."""
        smoothing = self.recipe.label_smoothing if targets.ndim == 1 else 0.0
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def sandwich_step(context: Context, step: int, images: Tensor, targets: Tensor) -> Tensor:
    """Accumulate one step's gradients: the largest subnet learns the labels, all others what the largest says.

    Sources: universally slimmable networks (Yu & Huang 2019) for the sandwich rule and in-place distillation,
    BigNAS (Yu et al. 2020). Returns the largest network's loss, detached.
    """
    space, recipe = context.supernet.space, context.recipe
    logits = context.run(images, space.largest())
    loss = context.true_loss(logits, targets)
    loss.backward()
    if step >= context.largest_steps:
        soft = logits.detach().softmax(1)
        rng = subnet_rng(recipe.seed, step)
        for subnet in (space.smallest(), *(space.sample(rng) for _ in range(recipe.random_subnets))):
            F.cross_entropy(context.run(images, subnet), soft).backward()
    return loss.detach()


def progressive_step(
    context: Context, step: int, images: Tensor, targets: Tensor, teacher: torch.nn.Module | None
) -> Tensor:
    """Accumulate one step's gradients of once-for-all's progressive shrinking (Cai et al. 2020).

    First the largest network learns alone; then it is the frozen `teacher` while the stages open dimension after
    dimension. Returns the mean loss of the step's subnets, detached.
    """
    if teacher is None:
        loss = context.true_loss(context.run(images, context.supernet.space.largest()), targets)
        loss.backward()
        return loss.detach()
    with torch.no_grad(), context.autocast():
        soft = teacher(images).float().softmax(1)
    rng = subnet_rng(context.recipe.seed, step)
    opened = open_words(context, step)
    total = torch.zeros((), device=images.device)
    count = max(1, context.recipe.random_subnets)
    for _ in range(count):
        logits = context.run(images, sample_open(context.supernet.space, rng, opened))
        loss = context.true_loss(logits, targets) + context.recipe.distil_weight * F.cross_entropy(
            logits, soft
        )
        (loss / count).backward()
        total += loss.detach() / count
    return total


def open_words(context: Context, step: int) -> set[str]:
    """Return the last words of the dimensions that are open at `step`; the stages share the steps equally."""
    stages = context.recipe.stages
    left = max(1, context.total_steps - context.largest_steps)
    stage = min(len(stages) - 1, (step - context.largest_steps) * len(stages) // left)
    return {word for words in stages[: stage + 1] for word in words}


def sample_open(space: SearchSpace, rng, opened: set[str]) -> Subnet:
    """Draw a subnet in which only dimensions whose name ends in an opened word differ from the largest."""
    choices = {}
    for dimension in space.dimensions:
        drawn = dimension.choices[int(rng.integers(len(dimension.choices)))]
        choices[dimension.name] = drawn if dimension.name.split(".")[-1] in opened else dimension.choices[-1]
    return space.subnet(choices)


def check_stages(recipe: Recipe, space: SearchSpace) -> None:
    """Raise `UsageError` if a progressive recipe would leave a dimension closed for good."""
    if recipe.method != "progressive":
        return
    known = {word for stage in recipe.stages for word in stage}
    closed = {name.split(".")[-1] for name in space.names} - known
    if closed:
        raise UsageError(
            f"recipe: the stages {[list(stage) for stage in recipe.stages]} never open {', '.join(sorted(closed))}; "
            "add it to a stage"
        )
    if recipe.largest_epochs <= 0:
        raise UsageError("recipe: progressive shrinking needs a trained teacher; set largest_epochs above 0")
