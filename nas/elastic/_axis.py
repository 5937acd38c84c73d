"""The axis algebra: which entries of a full axis a subnet keeps.

An axis answers with *segments*: ordered, non-touching (start, stop) ranges into the full axis. One segment is a view
of the supernet's tensor; several are concatenated. The full axis is the axis of the space's largest subnet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from nas.elastic._length import Choices, Chosen, Length

Segments = tuple[tuple[int, int], ...]


def _merge(segments: list[tuple[int, int]]) -> Segments:
    merged: list[tuple[int, int]] = []
    for start, stop in segments:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        elif stop > start:
            merged.append((start, stop))
    return tuple(merged)


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor of the largest network."""

    def length(self, choices: Choices) -> int:
        """Return the number of entries in the subnet of these choices."""
        raise NotImplementedError

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        """Return the ranges of the full axis that the subnet keeps."""
        raise NotImplementedError

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dimensions that the axis reads."""
        raise NotImplementedError

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        """Return the order of the full axis's entries when the named elastic axes are put into `orders`."""
        raise NotImplementedError

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        """Add up `scores` (one an entry of the full axis) for each elastic axis inside this one."""
        raise NotImplementedError


@dataclass(frozen=True)
class Fixed(Axis):
    """An axis of `n` entries in every subnet."""

    n: int

    def length(self, choices: Choices) -> int:
        return self.n

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        return ((0, self.n),)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ()

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        return torch.arange(self.n)

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        return {}


@dataclass(frozen=True)
class Elastic(Axis):
    """The first *k* entries. Axes of one `name` are coupled: they are sorted and cut together.

    `of` is the rule for *k*; without it the name is a dimension whose choice is the length.
    """

    name: str
    of: Length | None = None

    @property
    def _rule(self) -> Length:
        return self.of or Chosen(self.name)

    def length(self, choices: Choices) -> int:
        return self._rule(choices)

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        return ((0, self.length(choices)),)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self._rule.dimensions

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        order = orders.get(self.name)
        return torch.arange(self.length(largest)) if order is None else order

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        return {self.name: scores}


@dataclass(frozen=True, init=False)
class Cat(Axis):
    """Axes laid one after another: a hidden state and its skip, the halves of a gate, fused query, key and value."""

    parts: tuple[Axis, ...]

    def __init__(self, *parts: Axis) -> None:
        object.__setattr__(self, "parts", parts)

    def length(self, choices: Choices) -> int:
        return sum(part.length(choices) for part in self.parts)

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        offset, found = 0, []
        for part in self.parts:
            found += [(offset + start, offset + stop) for start, stop in part.segments(choices, largest)]
            offset += part.length(largest)
        return _merge(found)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.dimensions)

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        offset, found = 0, []
        for part in self.parts:
            found.append(offset + part.permutation(orders, largest))
            offset += part.length(largest)
        return torch.cat(found)

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        total: dict[str, torch.Tensor] = {}
        for part, own in zip(self.parts, scores.split([p.length(largest) for p in self.parts]), strict=True):
            for name, score in part.importance(own, largest).items():
                total[name] = total[name] + score if name in total else score
        return total


@dataclass(frozen=True)
class Repeat(Axis):
    """Every entry of `outer` is a run of `inner` entries: heads × head size, groups × channels, flattened maps.

    An axis that may only be cut at whole groups is a `Repeat` over an elastic axis of groups. `inner` may itself be
    elastic: then every kept run keeps its first entries.
    """

    outer: Axis
    inner: int | Axis

    @property
    def _run(self) -> Axis:
        return Fixed(self.inner) if isinstance(self.inner, int) else self.inner

    def length(self, choices: Choices) -> int:
        return self.outer.length(choices) * self._run.length(choices)

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        full, run = self._run.length(largest), self._run.segments(choices, largest)
        if run == ((0, full),):
            return tuple((start * full, stop * full) for start, stop in self.outer.segments(choices, largest))
        entries = (i for start, stop in self.outer.segments(choices, largest) for i in range(start, stop))
        return _merge([(i * full + start, i * full + stop) for i in entries for start, stop in run])

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (*self.outer.dimensions, *self._run.dimensions)

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        outer, run = self.outer.permutation(orders, largest), self._run.permutation(orders, largest)
        return (outer[:, None] * len(run) + run[None, :]).flatten()

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        table = scores.reshape(self.outer.length(largest), self._run.length(largest))
        total = self.outer.importance(table.sum(1), largest)
        for name, score in self._run.importance(table.sum(0), largest).items():
            total[name] = total[name] + score if name in total else score
        return total


@dataclass(frozen=True)
class Indices(Axis):
    """The entries of another axis in another order: entry `i` is entry `order[i]` of the full axis `of`.

    For orders that runs and concatenations cannot say, such as shuffled or interleaved channels. What is kept stays in
    the order of this axis.
    """

    of: Axis
    order: tuple[int, ...]

    def length(self, choices: Choices) -> int:
        return self.of.length(choices)

    def segments(self, choices: Choices, largest: Choices) -> Segments:
        kept = torch.zeros(len(self.order), dtype=torch.bool)
        for start, stop in self.of.segments(choices, largest):
            kept[start:stop] = True
        return _merge([(i, i + 1) for i in kept[list(self.order)].nonzero().flatten().tolist()])

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self.of.dimensions

    def permutation(self, orders: Mapping[str, torch.Tensor], largest: Choices) -> torch.Tensor:
        order = torch.tensor(self.order)
        return torch.argsort(order)[self.of.permutation(orders, largest)[order]]

    def importance(self, scores: torch.Tensor, largest: Choices) -> dict[str, torch.Tensor]:
        return self.of.importance(scores[torch.argsort(torch.tensor(self.order)).to(scores.device)], largest)
