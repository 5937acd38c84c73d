"""A subnet: one canonical set of choices from a search space."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nas.space._dimension import Choice

FORMAT = "anyfit-subnet"
FORMAT_VERSION = 1


class Subnet(Mapping[str, Choice]):
    """An immutable, hashable, ordered mapping from active dimension to choice.

    Made by `SearchSpace.subnet`, which validates and canonicalises: choices of blocks that are left out are dropped,
    so two equal networks are one subnet. `space` and `digest` say which search space it belongs to.
    """

    __slots__ = ("_choices", "_hash", "digest", "space")

    space: str
    digest: str
    _choices: dict[str, Choice]
    _hash: int

    def __init__(self, space: str, digest: str, choices: Mapping[str, Choice]) -> None:
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "digest", digest)
        object.__setattr__(self, "_choices", dict(choices))
        object.__setattr__(self, "_hash", hash((digest, tuple(self._choices.items()))))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"a subnet cannot be changed (setting {name!r}); make another from its search space"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(
            f"a subnet cannot be changed (deleting {name!r}); make another from its search space"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Subnet, (self.space, self.digest, self._choices))

    def __getitem__(self, name: str) -> Choice:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Subnet):
            return NotImplemented
        return self.digest == other.digest and self._choices == other._choices

    def __repr__(self) -> str:
        choices = ", ".join(f"{name}={choice!r}" for name, choice in self._choices.items())
        return f"Subnet({self.space}: {choices})"

    def to_dict(self) -> dict[str, Any]:
        """Return the versioned JSON object of this subnet."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "space": self.space,
            "digest": self.digest,
            "choices": dict(self._choices),
        }

    def to_json(self) -> str:
        """Return the versioned JSON text of this subnet."""
        return json.dumps(self.to_dict(), indent=2) + "\n"
