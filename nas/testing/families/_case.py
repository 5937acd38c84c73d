"""What a family's suite is given, and the supernets that its tests share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Family, Supernet
from nas.space import Subnet


@dataclass(frozen=True)
class FamilyCase:
    """One family, as small as it can be while it still has every kind of part.

    Attributes:
        make: Makes the family. A subnet should run in milliseconds: few classes, small images.
    """

    make: Callable[[], Family]

    def supernet(self) -> Supernet:
        """Return a supernet in evaluation mode, always the same; no tensor has a value that could hide a mistake."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            supernet = Supernet(self.make())
        randomise(supernet)
        return supernet.eval()


@torch.no_grad()
def randomise(network: nn.Module, seed: int = 0) -> None:
    """Give every tensor random values: biases are not zero, statistics not standard, matrices not the identity."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.ndim == 1 or not tensor.any():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.3)
        elif "matrix" in name:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.1)


def some_subnets(family: Family, count: int = 3, seed: int = 0) -> list[Subnet]:
    """Return the smallest, the largest and `count` random subnets; fewer are the first of more."""
    space, rng = family.space, np.random.default_rng(seed)
    return [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(count))]


Extracted = Callable[[Subnet], nn.Module]
"""What returns the static network of a subnet, each extracted once; tests leave it as it is."""


class Supernets:
    """The supernets that tests ask for; `case` says of which family."""

    case: ClassVar[FamilyCase]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def one_thread(cls) -> Iterator[None]:
        """On one thread a subnet's output is exact, on several it may differ by rounding."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    @pytest.fixture(scope="class")
    @classmethod
    def supernet(cls, one_thread: None) -> Supernet:
        """A supernet in evaluation mode; tests must leave its weights, statistics and mode as they are."""
        return cls.case.supernet()

    @pytest.fixture
    def fresh(self, supernet: Supernet) -> Supernet:
        """A supernet of the test's own, with the weights of `supernet`; only the family, which is fixed, is shared."""
        return copy.deepcopy(supernet, {id(supernet.family): supernet.family})

    @pytest.fixture(scope="class")
    @classmethod
    def extracted(cls, supernet: Supernet) -> Extracted:
        """Return the static network of a subnet, each extracted once; tests must leave it as it is."""
        known: dict[Subnet, nn.Module] = {}

        def extract(subnet: Subnet) -> nn.Module:
            if subnet not in known:
                known[subnet] = supernet.extract(subnet)
            return known[subnet]

        return extract
