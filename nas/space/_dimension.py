"""One named decision of a search space."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import UsageError

Choice = int | float | str | bool


class SpaceError(UsageError):
    """A choice, subnet or dimension does not belong to the search space."""


@dataclass(frozen=True)
class Dimension:
    """A named dimension and its choices, ordered from the smallest network to the largest.

    `active_if` names another dimension and those of its choices for which this one is active: the kernel of a
    stage's third block matters only where the depth keeps that block. A dimension without it is always active.
    """

    name: str
    choices: tuple[Choice, ...]
    active_if: tuple[str, tuple[Choice, ...]] | None = None

    def __post_init__(self) -> None:
        if not self.choices or len(set(self.choices)) != len(self.choices):
            raise SpaceError(
                f"dimension {self.name!r} has choices {self.choices}; give at least one, all different"
            )
        if len({type(choice) for choice in self.choices}) != 1:
            raise SpaceError(
                f"dimension {self.name!r} mixes types in {self.choices}; give choices of one type"
            )

    def index(self, choice: object) -> int:
        """Return the position of `choice`; raises `SpaceError` naming the legal choices."""
        for position, legal in enumerate(self.choices):
            if type(legal) is type(choice) and legal == choice:
                return position
        legal_choices = ", ".join(map(repr, self.choices))
        raise SpaceError(
            f"{self.name} is {choice!r}, but must be one of {legal_choices}; choose one of these"
        )
