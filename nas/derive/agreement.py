"""Whether the model's own modules, told a subnet's sizes, compute what the rewritten graph does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product

import numpy as np
import torch
from torch import Tensor, nn

from nas.derive.draft import Draft
from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import Trace
from nas.derive.networks.family import DerivedFamily, Template
from nas.derive.networks.numbers import Place, candidates, chosen
from nas.derive.networks.program import GraphNetwork, Program, kept, with_tensors
from nas.derive.networks.specification import Number
from nas.derive.proof import CAST, doubled, revealing
from nas.derive.spaces.units import Dimensions
from nas.elastic import Axis, crop_centre
from nas.space import Subnet

TRIES = 32
"""Combinations of axes that numbers with several candidates are tried with."""


class Agreement:
    """Compares both ways to make a subnet.

    Args:
        program: the graph.
        trace: of the network.
        seed: of weights.
    """

    def __init__(self, program: Program, trace: Trace, seed: int) -> None:
        self._program, self._state = program, revealing(trace.state, trace.same, seed)
        self._inputs = [x.double() if x.is_floating_point() else x for x in trace.examples]
        self._expected: dict[Subnet, Tensor] = {}

    @torch.no_grad()
    def difference(self, family: DerivedFamily, subnet: Subnet) -> str:
        """Return in what a subnet of the model's modules differs from the graph; empty if in nothing."""
        state = slices(family, subnet, self._state)
        if subnet not in self._expected:
            graph = GraphNetwork(self._program, subnet, family.space.largest(), exact=True)
            network = with_tensors(graph, state)
            with doubled():
                self._expected[subnet] = network(*self._inputs)
        expected = self._expected[subnet]
        try:
            given = run_modules(family, subnet, state, self._inputs)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        if given.shape != expected.shape:
            return f"its output has shape {tuple(given.shape)} instead of {tuple(expected.shape)}"
        error = float((given - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
        return "" if error <= CAST else f"its output differs by {error:.0e}"


@torch.no_grad()
def run_modules(
    family: DerivedFamily, subnet: Subnet, state: Mapping[str, Tensor], inputs: Sequence[Tensor]
) -> Tensor:
    """Run a subnet made of modules in double precision on its own tensors by name."""
    with torch.device("meta"):  # first values would take longer than the run
        network = family.build(subnet).eval()
    _fill(network, state)
    with doubled():
        return network(*inputs)


def _fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network on the meta device its tensors."""
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[leaf] = nn.Parameter(state[prefix + leaf], requires_grad=False)
        for leaf, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[leaf] = state[prefix + leaf]


def slices(family: DerivedFamily, subnet: Subnet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of each tensor of a full state that a subnet keeps."""
    spec, largest, found = family.specification, family.space.largest(), {}
    left_out = tuple(f"{path}." for block, path in spec.blocks.items() if not subnet[block])
    for name, tensor in state.items():
        if name.startswith(left_out):
            continue
        for place, axis in enumerate(spec.tensors.get(name, ())):
            if axis.dimensions:
                tensor = tensor.index_select(place, torch.tensor(kept(axis, subnet, largest)))
        kernel = spec.kernels.get(name)
        found[name] = tensor if kernel is None else crop_centre(tensor, int(subnet[kernel]))
    return found


def some_subnets(family: DerivedFamily, seed: int) -> list[Subnet]:
    """Return mixtures of all blocks in which every two dimensions are once apart, and random and uniform subnets."""
    space, rng, blocks = family.space, np.random.default_rng(seed), family.specification.blocks
    names = space.names

    def whole(is_large: Callable[[int], bool]) -> Subnet:
        return space.subnet(
            {n: space[n].choices[-1 if n in blocks or is_large(i) else 0] for i, n in enumerate(names)}
        )

    # Places of two dimensions differ in a bit: by that bit one is long and the other short.
    mixed = [whole(lambda i, bit=bit: bool(i >> bit & 1)) for bit in range(len(names).bit_length())]
    random = [space.sample(rng) for _ in range(2)] if blocks else []
    return [whole(lambda i: False), *mixed, *random, space.smallest(), space.largest()]


def alone(family: DerivedFamily, name: str) -> Subnet:
    """Return the largest subnet but for the smallest choice of one dimension."""
    space = family.space
    return space.subnet({**dict(space.largest()), name: space[name].choices[0]})


def tries(certain: Sequence[Number], open_: Mapping[Place, Sequence[Axis]]) -> Iterator[tuple[Number, ...]]:
    """Yield ways to tell modules their numbers: the likeliest axes first, then every combination, up to a limit."""
    several = {place: axes for place, axes in open_.items() if len(axes) > 1}
    single = {place: axes[0] for place, axes in open_.items() if len(axes) == 1}
    for combination in islice(product(*several.values()), TRIES):
        yield (*certain, *chosen({**single, **dict(zip(several, combination, strict=True))}))


def family_of_modules(
    draft: Draft,
    agreement: Agreement,
    template: Template,
    network: nn.Module,
    labels: Labels,
    dimensions: Dimensions,
) -> tuple[DerivedFamily, dict[str, str]]:
    """Return the family of the model's own modules, and the dimensions that they cannot follow, with what was seen.

    Numbers with several candidates are tried until modules and graph agree for the smallest, the largest and random
    subnets. Where no try does, each dimension is tried alone with the likeliest numbers.
    """
    specification, seen = draft.of_modules, ""
    certain = specification.numbers
    known = {(number.path, number.attribute, number.place) for number in certain}
    open_ = candidates(labels, dimensions.axis, network)
    open_ = {place: axes for place, axes in open_.items() if place not in known}
    families = []
    for numbers in tries(certain, open_):
        family = DerivedFamily(replace(specification, numbers=numbers), template)
        seen = _first_difference(agreement, family)
        if not seen:
            return family, {}
        families.append(family)
    failing = {}
    for name in families[0].space.names:
        if found := agreement.difference(families[0], alone(families[0], name)):
            failing[name] = found
    return families[0], failing or dict.fromkeys(families[0].space.names, seen)


def _first_difference(agreement: Agreement, family: DerivedFamily) -> str:
    differences = (agreement.difference(family, subnet) for subnet in some_subnets(family, 0))
    return next((each for each in differences if each), "")
