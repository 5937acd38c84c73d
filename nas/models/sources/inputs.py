"""Example inputs: what a network is traced and measured on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from nas.elastic import Inputs
from nas.errors import UsageError
from nas.models.sources.network import Request

T = TypeVar("T")


def seeded(make: Callable[[], T]) -> T:
    """Return what `make` makes with random numbers that are always the same, and change nobody else's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def noise(shape: tuple[int, ...]) -> torch.Tensor:
    """Return an input of normally distributed numbers, always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def given_inputs(shapes: Mapping[str, str]) -> Inputs | None:
    """Return inputs of the shapes that the user gave, None for none.

    Args:
        shapes: Such as {"": "1x3x224x224"}, or {"image": "1x3x64x64", "mask": "1x1x64x64"}.

    Raises:
        UsageError: A shape that is none, or several without names.
    """
    if not shapes:
        return None
    tensors = {name: noise(read_shape(text)) for name, text in shapes.items()}
    if "" not in tensors:
        return tensors
    if len(tensors) > 1:
        raise UsageError(
            "several inputs are given, one of them without a name; give each as NAME=1x3x224x224"
        )
    return tensors[""]


def read_shape(text: str) -> tuple[int, ...]:
    """Read a shape such as "1x3x224x224"; raises `UsageError`."""
    if not re.fullmatch(r"[1-9]\d*([x×,][1-9]\d*)*", text.strip()):
        raise UsageError(f"{text!r} is no shape of an input; give one such as 1x3x224x224, the batch first")
    return tuple(int(length) for length in re.split("[x×,]", text.strip()))


def image_input(request: Request, height: int, width: int, channels: int = 3) -> Inputs:
    """Return the inputs that the user gave, else one picture's."""
    given = given_inputs(request.inputs)
    return noise((1, channels, height, width)) if given is None else given
