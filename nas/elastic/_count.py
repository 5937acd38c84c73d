"""Counting MACs, parameters and bytes of static modules.

MACs are those of convolutions, matrix products and attention by torch's own formulas, halved. Counting a network
costs milliseconds, so what each part costs is remembered by the choices that decide it; many subnets are then counted
by table look-ups, exactly. Where an output takes several programs, a part's MACs are counted in each of them, and
added up as often as the programs are run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import mul
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas.elastic._family import Family
from nas.elastic.modules.inputs import Inputs, call, map_inputs
from nas.elastic.modules.quantize import quantized_bytes
from nas.elastic.modules.quantized import quantized_layers
from nas.space import Subnet


@dataclass(frozen=True)
class Counts:
    """What a network costs: multiply-accumulates for one input, parameters, bytes of its tensors.

    Tensors are fp32 but for weights of few bits, which count packed.
    """

    macs: int = 0
    params: int = 0
    size_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.macs + other.macs, self.params + other.params, self.size_bytes + other.size_bytes)


@dataclass(frozen=True)
class _PartCost:
    """What a part costs: MACs for one input of each program, parameters, bytes."""

    macs: tuple[int, ...]
    params: int
    size_bytes: int

    def row(self) -> tuple[int, ...]:
        return (*self.macs, self.params, self.size_bytes)


def _weigh(module: nn.Module) -> tuple[int, int]:
    """Return parameters and bytes."""
    params = sum(parameter.numel() for parameter in module.parameters())
    kept = (
        buffer
        for layer in module.modules()
        for name, buffer in layer._buffers.items()
        if buffer is not None and name not in layer._non_persistent_buffers_set
    )
    stored = params + sum(buffer.numel() for buffer in kept if buffer.is_floating_point())
    saved = sum(
        4 * layer.weight.numel() - quantized_bytes(layer.weight.shape, layer.bits)
        for _, layer in quantized_layers(module)
    )
    return params, 4 * stored - saved


class _Flops(TorchDispatchMode):
    """Adds up floating-point operations; FlopCounterMode does too, but decomposes every other operator."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.each = 0, list[int]()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's own hook: without it, the first operator imports the compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.each.append(formula(*args, **(kwargs or {}), out_val=result))
            self.total += self.each[-1]
        return result


@torch.no_grad()
def macs_in_order(network: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> list[int]:
    """Return the MACs of every convolution and product of a network, in the order in which they run."""
    with _Flops() as mode:
        network(*inputs)
    return [flops // 2 for flops in mode.each]


def _run_counting(network: nn.Module, parts: dict[str, nn.Module], x: Inputs) -> dict[str, int]:
    """Count each part wherever it works: a network may call a layer inside a part by itself, too."""
    flops, inside = dict.fromkeys(parts, 0), dict.fromkeys(parts, 0)
    handles = []
    with _Flops() as mode:
        for name, module in parts.items():

            def enter(_module: nn.Module, _inputs: object, name: str = name) -> None:
                if not inside[name]:
                    flops[name] -= mode.total
                inside[name] += 1

            def leave(_module: nn.Module, _inputs: object, _output: object, name: str = name) -> None:
                inside[name] -= 1
                if not inside[name]:
                    flops[name] += mode.total

            for layer in module.modules():
                handles += [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)]
        try:
            call(network, x)
        finally:
            for handle in handles:
                handle.remove()
    return {name: total // 2 for name, total in flops.items()}


class Counter:
    """Counts the subnets of one family; `bound` gives a subnet's static network with weights for the time of a call.

    It runs on real tensors: on the meta device most operators go through Python, ten times slower for a batch of one.
    """

    def __init__(self, family: Family, bound: Callable[[Subnet], AbstractContextManager[nn.Module]]) -> None:
        self._family = family
        self._bound = bound
        self._programs = [*family.programs]
        self._known: dict[Subnet, dict[str, _PartCost]] = {}
        self._tables: _PartTables | None = None
        space = family.space
        self._pass_columns = [space.names.index(name) for name in family.pass_dimensions]
        self._runs: dict[bytes, list[int]] = {}

    def count(self, subnet: Subnet) -> Counts:
        """Count one subnet."""
        return sum(self.count_parts(subnet).values(), Counts())

    def count_parts(self, subnet: Subnet) -> dict[str, Counts]:
        """Count one subnet, part by part."""
        runs = self._runs_of(subnet)
        return {
            name: Counts(sum(map(mul, runs, cost.macs)), cost.params, cost.size_bytes)
            for name, cost in self._costs(subnet).items()
        }

    def _runs_of(self, subnet: Subnet) -> list[int]:
        """Return on how many inputs each program is run for one output."""
        runs = dict.fromkeys(self._programs, 0)
        for step in self._family.passes(subnet):
            runs[step.program] += step.times * step.batch
        return [*runs.values()]

    def _costs(self, subnet: Subnet) -> dict[str, _PartCost]:
        space, decided = self._family.space, self._family.pass_dimensions
        if decided:  # how often something is run does not change what a run costs
            subnet = space.subnet({**subnet, **{name: space[name].choices[0] for name in decided}})
        if subnet not in self._known:
            told = self._family.part_costs(space.codes([subnet]))
            self._known[subnet] = self._run(subnet) if told is None else self._read(subnet, told[0])
        return self._known[subnet]

    def _read(self, subnet: Subnet, rows: np.ndarray) -> dict[str, _PartCost]:
        costs = zip(self._family.parts, rows.tolist(), strict=True)
        return {
            part.name: _PartCost(tuple(macs), params, size_bytes)
            for part, (*macs, params, size_bytes) in costs
            if part.is_active(subnet)
        }

    def _run(self, subnet: Subnet) -> dict[str, _PartCost]:
        with self._bound(subnet) as network, torch.no_grad():
            parts = {p.name: network.get_submodule(p.name) for p in self._family.parts if p.is_active(subnet)}
            device = next(network.parameters()).device

            def move(tensor: torch.Tensor) -> torch.Tensor:
                return tensor.to(device)

            macs = [
                _run_counting(
                    program.view(network).eval(), parts, map_inputs(move, program.example(subnet, 1))
                )
                for program in self._family.programs.values()
            ]
            return {
                name: _PartCost(tuple(own[name] for own in macs), *_weigh(module))
                for name, module in parts.items()
            }

    def by_part(self, codes: np.ndarray) -> np.ndarray:
        """Count every part of the subnets of `codes`: (n, parts, 3) MACs, parameters and bytes."""
        found = self._look_up(codes)
        macs = (found[:, :, :-2] * self.runs(codes)[:, None, :]).sum(axis=2, keepdims=True)
        return np.concatenate([macs, found[:, :, -2:]], axis=2)

    def by_program(self, codes: np.ndarray) -> np.ndarray:
        """Return the MACs of every part in one run of each program on one input: (n, parts, programs)."""
        return self._look_up(codes)[:, :, :-2]

    def runs(self, codes: np.ndarray) -> np.ndarray:
        """Return on how many inputs each program is run for one output of each subnet: (n, programs)."""
        rows = np.asarray(codes)
        found = np.empty((len(rows), len(self._programs)), dtype=np.int64)
        for row, key in enumerate(np.ascontiguousarray(rows[:, self._pass_columns])):
            if (known := key.tobytes()) not in self._runs:
                self._runs[known] = self._runs_of(self._family.space.from_codes(rows[row]))
            found[row] = self._runs[known]
        return found

    def _look_up(self, codes: np.ndarray) -> np.ndarray:
        """Return (n, parts, programs + 2): MACs in each program, parameters, bytes."""
        codes = np.asarray(codes)
        if (told := self._family.part_costs(codes)) is not None:
            return told
        if self._tables is None:
            self._tables = _PartTables(self._family)
        keys = self._tables.keys(codes)
        found = self._tables.look_up(keys)
        while (unknown := found[:, :, 0] < 0).any():
            row = self._teacher(codes, unknown)[None]
            self._tables.learn(self._tables.keys(row)[0], self._costs(self._family.space.from_codes(row[0])))
            found[unknown] = self._tables.look_up(keys[unknown])
        return found

    def _teacher(self, codes: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Return the codes of a subnet one count of which fills many gaps.

        It is the row with the most unknown parts; where a part of it is known, choices of another row in which that
        part is unknown take their place, if they leave what is already settled as it is.
        """
        assert self._tables is not None
        decisive, parents = self._tables.decisive, self._tables.parents
        row = int(unknown.sum(axis=1).argmax())
        taught = codes[row].copy()
        settled = np.zeros(codes.shape[1], dtype=bool)
        for index in np.flatnonzero(unknown[row]):
            settled[decisive[index]] = True
        for index in np.flatnonzero(~unknown[row] & unknown.any(axis=0)):
            columns, parent = decisive[index], parents[index]
            if parent is not None and settled[parent] and self._tables.is_active(taught[None])[0, index]:
                columns = columns[columns != parent]
            fixed = columns[settled[columns]]
            wanting = np.flatnonzero(unknown[:, index])
            fitting = wanting[(codes[wanting][:, fixed] == taught[fixed]).all(axis=1)]
            if len(fitting):
                taught[columns] = codes[fitting[0], columns]
                settled[columns] = True
        return self._family.space.canonical_codes(np.maximum(taught, 0)[None])[0]

    def counts(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Count the subnets of `codes` (n, dimensions): "macs", "params", "size_bytes", each int64 (n,)."""
        total = self.by_part(codes).sum(axis=1)
        return {"macs": total[:, 0], "params": total[:, 1], "size_bytes": total[:, 2]}


class _PartTables:
    """What parts cost, by the choices that decide them; as large as what was asked for, not as their product.

    A part and its choices are one number, so that all parts of many subnets are found in one look-up.
    """

    def __init__(self, family: Family) -> None:
        space, parts = family.space, family.parts
        self._names = [part.name for part in parts]
        self.parents: list[int | None] = []
        self.decisive: list[np.ndarray] = []
        self._allowed = np.ones((len(parts), 1 + max(len(d.choices) for d in space.dimensions)), dtype=bool)
        self._weights = np.zeros((len(space.dimensions), len(parts)), dtype=np.int64)
        self._active = np.empty(len(parts), dtype=np.int64)  # what being in the network adds to a number
        for index, part in enumerate(parts):
            names = dict.fromkeys([*part.dimensions, *family.input_dimensions])
            own, weight = [space.names.index(name) for name in names], len(parts)
            for column in reversed(own):
                self._weights[column, index] = weight
                weight *= len(space.dimensions[column].choices) + 1
            self._active[index] = weight
            parent = None if part.active_if is None else space.names.index(part.active_if[0])
            if part.active_if is not None:
                dimension = space[part.active_if[0]]
                self._allowed[index] = False
                self._allowed[index, [dimension.index(choice) + 1 for choice in part.active_if[1]]] = True
            self.parents.append(parent)
            self.decisive.append(np.unique([*own, *([] if parent is None else [parent])]).astype(int))
        self._columns = np.array([parent or 0 for parent in self.parents])
        self._keys = np.empty(0, dtype=np.int64)
        self._nothing = _PartCost((0,) * len(family.programs), 0, 0)
        self._costs = np.empty((0, len(self._nothing.row())), dtype=np.int64)

    def is_active(self, codes: np.ndarray) -> np.ndarray:
        """Return for each row of `codes` (n, dimensions) which parts are in the network: (n, parts)."""
        return self._allowed[np.arange(len(self._names)), codes[:, self._columns] + 1]

    def keys(self, codes: np.ndarray) -> np.ndarray:
        """Return a number for each part of each row of `codes`, equal where the part's choices are: (n, parts)."""
        choices = (codes.astype(np.int64) + 1) @ self._weights
        return self.is_active(codes) * self._active + choices + np.arange(len(self._names))

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """Return MACs in each program, parameters and bytes of `keys` (...): (..., programs + 2); unknown is -1."""
        if not len(self._keys):
            return np.full((*keys.shape, self._costs.shape[1]), -1, dtype=np.int64)
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where((self._keys[places] == keys)[..., None], self._costs[places], -1)

    def learn(self, keys: np.ndarray, costs: Mapping[str, _PartCost]) -> None:
        """Remember what the parts of one subnet cost, whose numbers are `keys` (parts,); one left out costs nothing."""
        rows = np.array([costs.get(name, self._nothing).row() for name in self._names])
        known = np.concatenate([self._keys, keys])
        self._keys, first = np.unique(known, return_index=True)
        self._costs = np.concatenate([self._costs, rows])[first]
