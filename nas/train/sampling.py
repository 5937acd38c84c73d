"""Which subnets a training step runs: the sandwich rule, or once-for-all's progressive shrinking.

Sources: universally slimmable networks (Yu & Huang 2019) and BigNAS (Yu et al. 2020) for the sandwich, once-for-all
(Cai et al. 2020) for progressive shrinking. All draws come from the generator of a step, `nas.seeds.subnet_rng`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.elastic import Family
from nas.errors import UsageError
from nas.space import SearchSpace, Subnet

Draw = Callable[[np.random.Generator], Subnet]


def sandwich(
    space: SearchSpace,
    rng: np.random.Generator,
    count: int,
    *,
    smallest: Subnet | None = None,
    draw: Draw | None = None,
) -> list[Subnet]:
    """Return the largest subnet, the smallest and `count` random ones.

    Args:
        space: The search space.
        rng: The generator of the step.
        count: How many are drawn at random.
        smallest: What stands for the smallest, where that of the space teaches the others nothing.
        draw: How a random one is drawn; by default evenly over the choices.
    """
    low = space.smallest() if smallest is None else smallest
    return [space.largest(), low, *((draw or space.sample)(rng) for _ in range(count))]


def draw_whole(
    family: Family, rng: np.random.Generator, drop_rate: float, *, smallest: bool = False
) -> Subnet:
    """Draw a subnet that leaves out fewer blocks, and crops fewer kernels, than an even draw does.

    No order by importance helps against these as it does for widths: a trained network without half of its blocks is
    of no use at first.

    Args:
        family: Whose subnet.
        rng: The generator of the step.
        drop_rate: How likely a depth or kernel is drawn as all else is; it is the largest otherwise.
        smallest: Whether all else has its smallest choice, instead of one drawn evenly.
    """
    kept = {part.active_if[0] for part in family.parts if part.active_if is not None}
    kernels = (layout.kernel for part in family.parts for layout in part.layouts.values())
    kept |= {name for kernel in kernels if kernel is not None for name in kernel.size.dimensions}
    choices = {}
    for dimension in family.space.dimensions:
        place = 0 if smallest else int(rng.integers(len(dimension.choices)))
        if dimension.name in kept and rng.random() >= drop_rate:
            place = -1
        choices[dimension.name] = dimension.choices[place]
    return family.space.subnet(choices)


@dataclass(frozen=True)
class Progressive:
    """Progressive shrinking: the largest network alone, then stage after stage opens more dimensions.

    Attributes:
        space: The search space.
        stages: The last words of the dimensions that open in each stage.
        start: Finished steps at which the first stage begins.
        steps: Steps of the whole training; the stages share those after `start` equally.
    """

    space: SearchSpace
    stages: Sequence[Sequence[str]]
    start: int
    steps: int

    def __post_init__(self) -> None:
        known = {word for stage in self.stages for word in stage}
        if closed := {name.split(".")[-1] for name in self.space.names} - known:
            raise UsageError(
                f"recipe: the stages {[list(stage) for stage in self.stages]} never open {', '.join(sorted(closed))}; "
                "add it to a stage"
            )
        if self.start <= 0:
            raise UsageError(
                "recipe: progressive shrinking needs a trained teacher; set largest_epochs above 0"
            )

    def opened(self, step: int) -> set[str]:
        """Return the last words of the dimensions that are open at `step`."""
        left = max(1, self.steps - self.start)
        stage = min(len(self.stages) - 1, (step - self.start) * len(self.stages) // left)
        return {word for words in self.stages[: stage + 1] for word in words}

    def sample(self, rng: np.random.Generator, step: int) -> Subnet:
        """Draw a subnet in which only open dimensions differ from the largest."""
        opened, choices = self.opened(step), {}
        for dimension in self.space.dimensions:
            drawn = dimension.choices[int(rng.integers(len(dimension.choices)))]
            choices[dimension.name] = (
                drawn if dimension.name.split(".")[-1] in opened else dimension.choices[-1]
            )
        return self.space.subnet(choices)
