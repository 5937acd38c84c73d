"""The supernet: one set of weights, every subnet of a search space."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import torch
from torch import nn

from nas.elastic._count import Counter, Counts
from nas.elastic._family import Family
from nas.elastic._skeleton import Skeleton, SkeletonCache, owner_of
from nas.elastic._sorting import sort_channels
from nas.elastic.modules.inputs import Inputs, call
from nas.elastic.modules.quantized import settle
from nas.space import SearchSpace, Subnet

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    FamilyT = TypeVar("FamilyT", bound=Family, default=Family, covariant=True)
else:
    FamilyT = typing.TypeVar("FamilyT", bound=Family)


class Supernet(nn.Module, Generic[FamilyT]):
    """The largest network of a family, of which every subnet's weights are slices.

    `network` is the largest static network; it also holds the matrices that only a supernet has. A call runs a subnet:
    its static module is given the slices for the time of the call, so gradients and BatchNorm statistics flow into the
    supernet. Calls are not safe from several threads at once; extracted modules are.
    """

    def __init__(self, family: FamilyT) -> None:
        super().__init__()
        self.family = family
        self.network = family.build(family.space.largest())
        family.initialise(self.network)
        self._add_matrices()
        self._reset_caches()

    def _add_matrices(self) -> None:
        for part in self.family.parts:
            for name, size in part.matrices.items():
                path, _, leaf = f"{part.name}.{name}".rpartition(".")
                self.network.get_submodule(path).register_parameter(leaf, nn.Parameter(torch.eye(size)))

    def _reset_caches(self) -> None:
        self._skeletons = SkeletonCache(self.family, self.network)
        self._counter = Counter(self.family, self._bound_for_counting)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_skeletons", "_counter")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._reset_caches()

    @property
    def space(self) -> SearchSpace:
        """The family's search space."""
        return self.family.space

    def skeleton(self, subnet: Subnet) -> nn.Module:
        """Return the static network of `subnet` on the meta device; it is shared: do not change it."""
        return self._skeletons.get(subnet).network

    @contextmanager
    def _bound_for_counting(self, subnet: Subnet) -> Iterator[nn.Module]:
        """Give the static network of `subnet` in evaluation mode with its slices, whatever mode the supernet is in."""
        skeleton = self._skeletons.get(subnet)
        skeleton.network.eval()
        with skeleton.bound() as network:
            yield network

    def _ready(self, subnet: Subnet) -> Skeleton:
        skeleton = self._skeletons.get(subnet)
        # A part that was last used by another subnet may be in the other mode.
        if any(module.training != self.training for module in skeleton.network.modules()):
            skeleton.network.train(self.training)
        return skeleton

    def forward(self, x: Inputs, subnet: Subnet, overrides: Mapping[str, torch.Tensor] | None = None) -> Any:
        """Run `subnet` on `x`, the input of its static network, or its inputs by name.

        `overrides` replaces tensors by name, for example BatchNorm statistics that were recalibrated for the subnet.
        Raises `SpaceError` if the subnet belongs to another space.
        """
        with self.bound(subnet, overrides) as network:
            return call(network, x)

    @contextmanager
    def bound(
        self, subnet: Subnet, overrides: Mapping[str, torch.Tensor] | None = None
    ) -> Iterator[nn.Module]:
        """Give the static network of `subnet` with the supernet's slices for tensors, while the block lasts.

        For what a network can do beside being called; `overrides` and errors are as for a call.
        """
        with self._ready(subnet).bound(overrides) as network:
            yield network

    def slices(self, subnet: Subnet) -> dict[str, torch.Tensor]:
        """Return the tensors of `subnet` by name, cut out of the supernet's: views where each axis is one segment."""
        return {binding.name: binding.tensor() for binding in self._skeletons.get(subnet).bindings}

    def extract(self, subnet: Subnet) -> nn.Module:
        """Return the static network of `subnet` in evaluation mode, with copies of its slices for weights.

        Weights of few bits hold the numbers that are left of the slices.
        """
        with torch.device("meta"):
            network = self.family.build(subnet)
        with torch.no_grad():
            for name, tensor in self.slices(subnet).items():
                slot, leaf = owner_of(network, name)
                copy = tensor.detach().clone(memory_format=torch.contiguous_format)
                is_parameter = isinstance(slot[leaf], nn.Parameter)
                slot[leaf] = (
                    nn.Parameter(copy, requires_grad=slot[leaf].requires_grad) if is_parameter else copy
                )
        return settle(network.eval())

    def count(self, subnet: Subnet) -> Counts:
        """Count the MACs of one output, the parameters and the bytes of `subnet`."""
        return self._counter.count(subnet)

    def count_parts(self, subnet: Subnet) -> dict[str, Counts]:
        """Count every part of `subnet`, by the part's name."""
        return self._counter.count_parts(subnet)

    def counts(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Count many subnets at once: "macs", "params" and "size_bytes", each int64 (n,)."""
        return self._counter.counts(codes)

    def part_macs(self, codes: np.ndarray) -> np.ndarray:
        """Return the MACs of every part of many subnets at once, int64 (n, parts), in the order of `family.parts`."""
        return self._counter.by_part(codes)[:, :, 0]

    def program_macs(self, codes: np.ndarray) -> np.ndarray:
        """Return the MACs of every part in one run of each program on one input, int64 (n, parts, programs)."""
        return self._counter.by_program(codes)

    def sort_channels(self, importance: Mapping[str, torch.Tensor] | str = "l1") -> None:
        """Put every elastic axis into order of importance, most important first, so that subnets keep the best.

        The full network's output does not change. `importance` is "l1", or scores by the elastic axis's name.
        """
        sort_channels(self.family, self.network, importance)
