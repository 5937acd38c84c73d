"""Static modules without weights, built once per block configuration, and the cuts that give them weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nas.elastic._axis import Segments
from nas.elastic._family import Family, Part
from nas.elastic._layout import crop_centre, cut, paste
from nas.space import Choice, SpaceError, Subnet

_KEPT_NETWORKS = 64


def owner_of(module: nn.Module, name: str) -> tuple[dict[str, Any], str]:
    """Return the dictionary (parameters or buffers) that holds the tensor `name` of `module`, and its key there."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    return (owner._parameters if leaf in owner._parameters else owner._buffers), leaf


@dataclass(slots=True)
class Binding:
    """One tensor of a skeleton and the cut of the supernet's tensor that it is given for a call."""

    name: str
    slot: dict[str, Any]
    source: dict[str, Any]
    leaf: str
    cuts: tuple[tuple[int, Segments], ...]
    crops: tuple[tuple[int, tuple[dict[str, Any], str] | None], ...]
    empty: torch.Tensor
    is_buffer: bool

    @property
    def is_copy(self) -> bool:
        """Whether the cut is a copy, so that a changed buffer must be written back."""
        return any(len(segments) > 1 for _, segments in self.cuts)

    def tensor(self) -> torch.Tensor:
        """Cut the tensor out of the supernet's."""
        full = self.source[self.leaf]
        if not self.cuts and not self.crops:
            return full
        tensor = cut(full, self.cuts)
        for size, matrix in self.crops:
            tensor = crop_centre(tensor, size, None if matrix is None else matrix[0][matrix[1]])
        return tensor


@dataclass(slots=True)
class Skeleton:
    """A static network on the meta device and the bindings of all its tensors."""

    network: nn.Module
    bindings: list[Binding]

    @contextmanager
    def bound(self, overrides: Mapping[str, torch.Tensor] | None = None) -> Iterator[nn.Module]:
        """Give every tensor its cut (or its override) for the time of a call.

        As `torch.func.functional_call`, without its walk over the module tree, which cost 3-4% of a training step.
        """
        if overrides and (unknown := overrides.keys() - {binding.name for binding in self.bindings}):
            raise SpaceError(f"the subnet has no tensor {min(unknown)!r}; override tensors that it has")
        written: list[tuple[Binding, torch.Tensor]] = []
        try:
            for binding in self.bindings:
                override = overrides.get(binding.name) if overrides else None
                tensor = binding.tensor() if override is None else override
                binding.slot[binding.leaf] = tensor
                if binding.is_buffer and override is None and binding.is_copy:
                    written.append((binding, tensor))
            yield self.network
            if self.network.training:
                for binding, tensor in written:
                    paste(binding.source[binding.leaf], binding.cuts, tensor)
        finally:
            for binding in self.bindings:
                binding.slot[binding.leaf] = binding.empty


class SkeletonCache:
    """Skeletons of one supernet's subnets; parts of equal configuration are shared."""

    def __init__(self, family: Family, network: nn.Module) -> None:
        self._family = family
        self._network = network
        self._largest = family.space.largest()
        self._parts: dict[tuple[str, tuple[Choice | None, ...]], tuple[nn.Module, list[Binding]]] = {}
        self._networks: OrderedDict[Subnet, Skeleton] = OrderedDict()

    def get(self, subnet: Subnet) -> Skeleton:
        """Return the skeleton of `subnet`."""
        if (known := self._networks.get(subnet)) is not None:
            self._networks.move_to_end(subnet)
            return known
        self._family.space.validate(subnet)
        modules, bindings = {}, []
        for part in self._family.parts:
            if part.is_active(subnet):
                module, own = self._part(part, subnet)
                modules[part.name] = module
                bindings += own
        skeleton = Skeleton(self._family.assemble(modules, subnet), bindings)
        self._networks[subnet] = skeleton
        if len(self._networks) > _KEPT_NETWORKS:
            self._networks.popitem(last=False)
        return skeleton

    def _part(self, part: Part, subnet: Subnet) -> tuple[nn.Module, list[Binding]]:
        key = (part.name, part.key(subnet))
        if key not in self._parts:
            with torch.device("meta"):
                module = part.build(subnet)
            names = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
            self._parts[key] = (module, [self._bind(part, module, name, subnet) for name in names])
        return self._parts[key]

    def _bind(self, part: Part, module: nn.Module, name: str, subnet: Subnet) -> Binding:
        slot, leaf = owner_of(module, name)
        source, _ = owner_of(self._network, f"{part.name}.{name}")
        empty, layout = slot[leaf], part.layouts.get(name)
        cuts = layout.cuts(subnet, self._largest) if layout else ()
        crops: list[tuple[int, tuple[dict[str, Any], str] | None]] = []
        if layout and layout.kernel:
            prefix = f"{part.name}.{name.rpartition('.')[0]}."
            for size, matrix in layout.kernel.steps(layout.kernel.size(subnet), source[leaf].shape[-1]):
                crops.append((size, None if matrix is None else owner_of(self._network, prefix + matrix)))
        is_buffer = slot is not module.get_submodule(name.rpartition(".")[0])._parameters
        binding = Binding(f"{part.name}.{name}", slot, source, leaf, cuts, tuple(crops), empty, is_buffer)
        given = tuple(binding.tensor().shape)
        if given != tuple(empty.shape):
            raise ValueError(
                f"{part.name}.{name} of {self._family.name} has shape {tuple(empty.shape)} in {subnet}, but its layout "
                f"gives {given}; mend the part's layout"
            )
        return binding
