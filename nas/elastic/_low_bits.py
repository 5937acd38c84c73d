"""Bits of weights as dimensions of any family: how few bits each group of layers may have is searched like a size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from typing import Any, TypeVar

import torch
from torch import nn

from nas.elastic._family import Family, Part
from nas.elastic._length import Choices
from nas.elastic.modules.quantize import BITS, FULL
from nas.elastic.modules.quantized import quantize_layers, quantized_layers
from nas.space import Choice, Dimension, SearchSpace, SpaceError

_OFFERS = [[*some] for count in (1, 2, 3) for some in combinations((*BITS, FULL), count)]
F = TypeVar("F", bound=Family)


def require_offer(bits: Sequence[int]) -> None:
    """Raise `SpaceError` unless `bits` are some that weights can have, ascending."""
    if [*bits] not in _OFFERS:
        raise SpaceError(
            f"bits is {[*bits]}, but must be some of {', '.join(map(str, (*BITS, FULL)))}, ascending; give such"
        )


def bits_dimension(kind: str) -> str:
    """Return the name of the dimension that decides the bits of a kind, or a group, of layers."""
    return f"{kind}.bits"


def with_bits(
    build: Callable[[Choices], nn.Module], kinds: Mapping[str, str], most: int, choices: Choices
) -> nn.Module:
    """Build a part whose modules at the paths of `kinds` ("" for itself) have the bits chosen for their kind.

    Without a choice they have `most`; with 32 they stay as they are.
    """
    module = build(choices)
    for path, kind in kinds.items():
        bits = choices.get(bits_dimension(kind), most)
        if bits != FULL:
            quantize_layers(module.get_submodule(path), int(bits))
    return module


def offer_bits(family: F, bits: Sequence[int]) -> F:
    """Return a family like `family` whose weights may have so many bits, one dimension for each group of parts.

    A group is what stands in one container (the blocks of a stage) or alone. Layers that can have few bits are plain
    `nn.Linear` and ungrouped `nn.Conv2d`; the first and the last part with such a layer stay floats, as quantizers
    leave them. Weights of the two families' supernets are interchangeable.

    Args:
        family: any; its own objects are not changed.
        bits: of 4, 8 and 32, ascending; the last is the largest network's and has to be 32.

    Raises:
        SpaceError: for other bits, a family that has dimensions of bits already, or no layer that could have few.
    """
    require_offer(bits)
    if bits[-1] != FULL or len(bits) < 2:
        raise SpaceError(f"bits is {[*bits]}, but floats (32) and fewer bits are offered together; add both")
    if any(name.endswith(".bits") for name in family.space.names):
        raise SpaceError(f"{family.space.name} has dimensions of bits already; leave bits out")
    groups = _groups(family)
    if not groups:
        raise SpaceError(f"{family.space.name} has no layer between its first and its last one for few bits")
    made: Any = copy.copy(family)
    conditions = {group: _condition(family, groups, group) for group in groups.values()}
    offered = [Dimension(bits_dimension(group), tuple(bits), own) for group, own in conditions.items()]
    count = len(family.space.dimensions) - len(family.pass_dimensions)
    dimensions = [*family.space.dimensions[:count], *offered, *family.space.dimensions[count:]]
    made.__dict__.pop("axis_dimensions", None)
    made.__class__ = _low_bit_class(type(family))
    made.space = SearchSpace(family.space.name, dimensions)
    made.options = {**family.options, "bits": [*bits]}
    parts = [_with_group(part, groups.get(part.name), bits[-1]) for part in family.parts]
    made.__dict__["_low_bit_parts"] = tuple(parts)
    return made


def _groups(family: Family) -> dict[str, str]:
    """Return the group of each part that has layers for few bits, but for the first and the last part."""
    found = [part for part in family.parts if _can_have_few(part, family)]
    return {part.name: _group(part) for part in found[1:-1]}


def _condition(
    family: Family, groups: Mapping[str, str], group: str
) -> tuple[str, tuple[Choice, ...]] | None:
    """Return when a subnet has any layer of a group: the condition that all its parts share."""
    own = {part.active_if for part in family.parts if groups.get(part.name) == group}
    return own.pop() if len(own) == 1 else None


def _group(part: Part) -> str:
    container, _, _ = part.name.rpartition(".")
    return container or part.name


def _can_have_few(part: Part, family: Family) -> bool:
    with torch.device("meta"):
        module = part.build(family.space.largest())
    return next(quantized_layers(quantize_layers(module, BITS[0])), None) is not None


def _with_group(part: Part, group: str | None, most: int) -> Part:
    if group is None:
        return part
    build = partial(with_bits, part.build, {"": group}, most)
    return replace(part, build=build, reads=(*part.reads, bits_dimension(group)))


@cache
def _low_bit_class(kind: type[Family]) -> type[Family]:
    """Return a subclass of a family's class whose parts are those that were given bits; it has the class's name."""

    def parts(self: Family) -> Sequence[Part]:
        return self.__dict__["_low_bit_parts"]

    return type(kind.__name__, (kind,), {"parts": property(parts), "__module__": kind.__module__})
