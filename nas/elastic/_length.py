"""How long an elastic axis is in a subnet: small immutable rules, so that axes can be compared and cached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.space import Choice, SpaceError

Choices = Mapping[str, Choice]
LengthChoices = Choices  # its name outside of this package


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round `value` to a multiple of `divisor`, never losing more than a tenth (MobileNetV2's published rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Length:
    """A rule that gives an axis's length; `dimensions` are the names it reads."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dimensions that the rule reads."""
        raise NotImplementedError

    def __call__(self, choices: Choices) -> int:
        """Return the length for these choices."""
        raise NotImplementedError


@dataclass(frozen=True)
class Chosen(Length):
    """The choice of a dimension itself, as an integer: a width in channels, a number of heads, a kernel size."""

    dimension: str

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (self.dimension,)

    def __call__(self, choices: Choices) -> int:
        choice = choices[self.dimension]
        if isinstance(choice, str) or int(choice) != choice:
            raise SpaceError(
                f"{self.dimension} is {choice!r}, but a length needs a whole number; use another rule"
            )
        return int(choice)


@dataclass(frozen=True)
class Scaled(Length):
    """`of` times a dimension's choice (an expansion ratio, a width ratio), rounded to a multiple of `divisor`."""

    of: int | Length
    by: str
    divisor: int = 8

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (*(self.of.dimensions if isinstance(self.of, Length) else ()), self.by)

    def __call__(self, choices: Choices) -> int:
        base = self.of(choices) if isinstance(self.of, Length) else self.of
        ratio = choices[self.by]
        if isinstance(ratio, str):
            raise SpaceError(f"{self.by} is {ratio!r}, but a ratio must be a number; use another rule")
        return make_divisible(round(base * ratio), self.divisor)


@dataclass(frozen=True)
class Divided(Length):
    """A whole fraction of another length, rounded to a multiple of `divisor`: a squeeze width follows its input's."""

    of: Length
    by: int
    divisor: int = 8

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self.of.dimensions

    def __call__(self, choices: Choices) -> int:
        return make_divisible(self.of(choices) // self.by, self.divisor)
