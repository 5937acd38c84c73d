"""Whether the model's own modules, told a subnet's sizes, compute what the rewritten graph does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
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
from nas.derive.networks.program import GraphNetwork, Program, with_tensors
from nas.derive.networks.specification import Number
from nas.derive.proof import CAST, doubled, revealing
from nas.derive.spaces.units import Dimensions
from nas.elastic import Axis, Layout, crop_centre
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
        try:
            given = run_modules(family, subnet, state, self._inputs)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        if subnet not in self._expected:
            graph = GraphNetwork(self._program, subnet, family.space.largest(), exact=True)
            network = with_tensors(graph, state)
            with doubled():
                self._expected[subnet] = network(*self._inputs)
        expected = self._expected[subnet]
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
    """Return the entries of each tensor of a full state that a subnet keeps: views where they stand together."""
    spec, largest, found = family.specification, family.space.largest(), {}
    left_out = tuple(f"{path}." for block, path in spec.blocks.items() if not subnet[block])
    for name, tensor in state.items():
        if name.startswith(left_out):
            continue
        for place, segments in Layout(spec.tensors.get(name, ())).cuts(subnet, largest):
            parts = [tensor.narrow(place, start, stop - start) for start, stop in segments]
            tensor = parts[0] if len(parts) == 1 else torch.cat(parts, place)
        kernel = spec.kernels.get(name)
        found[name] = tensor if kernel is None else crop_centre(tensor, int(subnet[kernel]))
    return found


def some_subnets(family: DerivedFamily, seed: int) -> list[Subnet]:
    """Return mixtures of all blocks in which every two dimensions are once apart, and random and uniform subnets."""
    space, rng, blocks = family.space, np.random.default_rng(seed), family.specification.blocks
    mixed = apart(family, [name for name in space.names if name not in blocks])
    random = [space.sample(rng) for _ in range(2)] if blocks else []
    return [*mixed, *random, space.smallest(), space.largest()]


def apart(family: DerivedFamily, names: Sequence[str]) -> list[Subnet]:
    """Return a subnet in which some dimensions are short, and mixtures in which every two of them are once apart."""
    # Places of two dimensions differ in a bit: by that bit one is long and the other short.
    bits = range((len(names) - 1).bit_length())
    mixed = [short(family, (n for i, n in enumerate(names) if not i >> bit & 1)) for bit in bits]
    return [short(family, names), *mixed]


def short(family: DerivedFamily, names: Iterable[str]) -> Subnet:
    """Return the largest subnet but for the smallest choices of some dimensions."""
    space = family.space
    return space.subnet({**dict(space.largest()), **{name: space[name].choices[0] for name in names}})


def tries(
    open_: Mapping[Place, Sequence[Axis]], network: nn.Module, failing: Set[str]
) -> Iterator[tuple[Number, ...]]:
    """Yield ways to tell modules their numbers, up to a limit: the likeliest axes, then combinations.

    Those of numbers change that may follow a failing dimension. Modules of one class have one code, so that what a
    number of theirs follows is tried for all of them at once.
    """
    alike: dict[object, list[Place]] = defaultdict(list)
    for place, axes in open_.items():
        if not all(failing.isdisjoint(axis.dimensions) for axis in axes):
            path, *attribute = place
            alike[type(network.get_submodule(path)), *attribute, len(axes)].append(place)
    likeliest = {place: axes[0] for place, axes in open_.items()}
    counts = [range(len(open_[places[0]])) for places in alike.values()]
    for combination in islice(product(*counts), TRIES):
        picked = zip(alike.values(), combination, strict=True)
        yield chosen(likeliest | {place: open_[place][i] for places, i in picked for place in places})


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
    subnets. Where the likeliest do not, dimensions are tried one by one, and other numbers for those that fail.
    """
    specification = draft.of_modules
    known = {(number.path, number.attribute, number.place) for number in specification.numbers}
    open_ = candidates(labels, dimensions.axis, network)
    open_ = {place: axes for place, axes in open_.items() if place not in known}

    def told(numbers: tuple[Number, ...]) -> tuple[DerivedFamily, str]:
        family = DerivedFamily(replace(specification, numbers=(*specification.numbers, *numbers)), template)
        return family, _first_difference(agreement, family, some_subnets(family, 0))

    likeliest, seen = told(next(tries(open_, network, frozenset())))
    if not seen:
        return likeliest, {}
    failing = _failing(agreement, likeliest) or dict.fromkeys(likeliest.space.names, seen)
    for numbers in islice(tries(open_, network, failing.keys()), 1, None):
        family, seen = told(numbers)
        if not seen:
            return family, {}
    return likeliest, failing


def _failing(agreement: Agreement, family: DerivedFamily) -> dict[str, str]:
    """Return the dimensions that modules cannot follow, with what was seen: all of a kind of block, then each alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in family.space.names:
        alike[re.sub(r"\d+", "", name)].append(name)
    failing = {}
    for names in alike.values():
        if len(names) > 3 and not _first_difference(agreement, family, apart(family, names)):
            continue
        failing |= {
            name: seen for name in names if (seen := agreement.difference(family, short(family, [name])))
        }
    return failing


def _first_difference(agreement: Agreement, family: DerivedFamily, subnets: Sequence[Subnet]) -> str:
    differences = (agreement.difference(family, subnet) for subnet in subnets)
    return next((each for each in differences if each), "")
