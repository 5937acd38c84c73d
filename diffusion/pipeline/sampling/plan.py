"""The plan of a denoising: at each step, which network runs, and whether it is guided.

Guidance in an interval only (Kynkäänniemi et al. 2024) leaves out the first and last steps; deep features are used
again between every k-th step (DeepCache, Ma et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: `is_whole` runs the whole UNet, else its outer layers; `is_guided` runs it on two conditions."""

    is_whole: bool
    is_guided: bool


def guided_steps(count: int, share: float) -> range:
    """Return the steps that are guided: the middle ones, `share` of all, rounded."""
    guided = min(count, round(count * share))
    first = (count - guided + 1) // 2
    return range(first, first + guided)


def plan_steps(count: int, guided: float, reuse: int) -> list[Step]:
    """Plan `count` steps: `guided` is the share of guided ones, deep features are new at every `reuse`-th step.

    They are also new where guidance begins: until then there are none of the second condition.
    """
    inside = guided_steps(count, guided)
    steps: list[Step] = []
    age = reuse
    for index in range(count):
        is_guided = index in inside
        begins = is_guided and not (steps and steps[-1].is_guided)
        age = 0 if begins or age + 1 >= reuse else age + 1
        steps.append(Step(age == 0, is_guided))
    return steps
