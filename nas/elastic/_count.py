"""Counting MACs, parameters and bytes on static modules without weights.

MACs are those of convolutions, matrix products and attention, as torch's FlopCounterMode counts them, halved. Counting
a network costs milliseconds, so what each part costs is remembered by the choices that decide it; many subnets are then
counted by table look-ups, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.elastic._family import Family
from nas.space import Subnet


@dataclass(frozen=True)
class Counts:
    """What a network costs: multiply-accumulates for one input, parameters, bytes of its fp32 tensors."""

    macs: int = 0
    params: int = 0
    size_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.macs + other.macs, self.params + other.params, self.size_bytes + other.size_bytes)


def _weigh(module: nn.Module) -> Counts:
    params = sum(parameter.numel() for parameter in module.parameters())
    stored = params + sum(buffer.numel() for buffer in module.buffers() if buffer.is_floating_point())
    return Counts(0, params, 4 * stored)


class Counter:
    """Counts the subnets of one family; `skeleton` gives a subnet's static network on the meta device."""

    def __init__(self, family: Family, skeleton: Callable[[Subnet], nn.Module]) -> None:
        self._family = family
        self._skeleton = skeleton
        self._known: dict[Subnet, dict[str, Counts]] = {}
        self._tables: list[_PartTable] | None = None

    def count(self, subnet: Subnet) -> Counts:
        """Count one subnet."""
        return sum(self.count_parts(subnet).values(), Counts())

    def count_parts(self, subnet: Subnet) -> dict[str, Counts]:
        """Count one subnet, part by part."""
        if subnet not in self._known:
            self._known[subnet] = self._run(subnet)
        return self._known[subnet]

    def _run(self, subnet: Subnet) -> dict[str, Counts]:
        network = self._skeleton(subnet).eval()
        parts = {p.name: network.get_submodule(p.name) for p in self._family.parts if p.is_active(subnet)}
        flops = dict.fromkeys(parts, 0)
        handles = []
        with FlopCounterMode(display=False) as mode, torch.no_grad():
            for name, module in parts.items():

                def enter(_module: nn.Module, _inputs: object, name: str = name) -> None:
                    flops[name] -= mode.get_total_flops()

                def leave(_module: nn.Module, _inputs: object, _output: object, name: str = name) -> None:
                    flops[name] += mode.get_total_flops()

                handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
            try:
                network(self._family.example_input(subnet).to("meta"))
            finally:
                for handle in handles:
                    handle.remove()
        return {name: _weigh(module) + Counts(macs=flops[name] // 2) for name, module in parts.items()}

    def counts(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Count the subnets of `codes` (n, dimensions): "macs", "params", "size_bytes", each int64 (n,)."""
        if self._tables is None:
            self._tables = [_PartTable(self._family, index) for index in range(len(self._family.parts))]
        keys = [table.keys(codes) for table in self._tables]
        while True:
            unknown = np.zeros(len(codes), dtype=np.int64)
            for table, own in zip(self._tables, keys, strict=True):
                unknown += table.values[own, 0] < 0
            if not unknown.any():
                break
            # The row with the most unknown parts teaches the most; one count fills all of its parts.
            row = int(unknown.argmax())
            parts = self.count_parts(self._family.space.from_codes(codes[row]))
            for table, own in zip(self._tables, keys, strict=True):
                table.learn(own[row], parts)
        total = np.zeros((len(codes), 3), dtype=np.int64)
        for table, own in zip(self._tables, keys, strict=True):
            total += table.values[own]
        return {"macs": total[:, 0], "params": total[:, 1], "size_bytes": total[:, 2]}


class _PartTable:
    """What one part costs for every combination of the choices that decide it; -1 where that is not yet known."""

    def __init__(self, family: Family, index: int) -> None:
        part, space = family.parts[index], family.space
        self._name = part.name
        names = dict.fromkeys([*part.dimensions, *family.input_dimensions])
        if part.active_if is not None:
            names[part.active_if[0]] = None
        self._columns = [space.names.index(name) for name in names]
        self._radix = [len(space.dimensions[column].choices) + 1 for column in self._columns]
        self.values = np.full((int(np.prod(self._radix, dtype=np.int64)), 3), -1, dtype=np.int64)

    def keys(self, codes: np.ndarray) -> np.ndarray:
        """Return the row of the table for each row of `codes`."""
        key = np.zeros(len(codes), dtype=np.int64)
        for column, radix in zip(self._columns, self._radix, strict=True):
            key = key * radix + codes[:, column] + 1
        return key

    def learn(self, key: int, parts: dict[str, Counts]) -> None:
        """Remember the part's cost; a part that was left out costs nothing."""
        own = parts.get(self._name, Counts())
        self.values[key] = (own.macs, own.params, own.size_bytes)
