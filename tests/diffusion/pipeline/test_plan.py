"""Which network runs at each step of a denoising, and whether it is guided."""

from __future__ import annotations

import pytest

from diffusion.pipeline.sampling.plan import guided_steps, plan_steps


def _told(count: int, guided: float, reuse: int) -> str:
    return " ".join(
        ("whole" if step.is_whole else "outer") + ("+" if step.is_guided else "")
        for step in plan_steps(count, guided, reuse)
    )


@pytest.mark.parametrize(
    ("count", "guided", "reuse", "expected"),
    [
        (3, 1.0, 1, "whole+ whole+ whole+"),
        (5, 1.0, 3, "whole+ outer+ outer+ whole+ outer+"),
        (5, 0.0, 2, "whole outer whole outer whole"),
        # Where guidance begins, deep features of the second condition are made.
        (8, 0.5, 3, "whole outer whole+ outer+ outer+ whole+ outer outer"),
        (1, 1.0, 5, "whole+"),
    ],
)
def test_plans(count: int, guided: float, reuse: int, expected: str) -> None:
    assert _told(count, guided, reuse) == expected


def test_guided_steps_are_in_the_middle() -> None:
    assert [*guided_steps(10, 0.4)] == [3, 4, 5, 6]
    assert [*guided_steps(3, 0.5)] == [1, 2]
    assert not guided_steps(7, 0.0) and len(guided_steps(7, 1.0)) == 7
