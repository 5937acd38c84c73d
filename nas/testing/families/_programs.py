"""An output is made of programs that are run as often as the family says; most families have one, run once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from nas.elastic import Family, Inputs, Supernet, batch_of, call, named_inputs
from nas.space import Subnet
from nas.testing.families._case import Extracted, some_subnets


def _programs(family: Family, network: nn.Module, names: set[str]) -> dict[str, nn.Module]:
    return {name: family.programs[name].view(network).eval() for name in names}


def _with(subnet: Subnet, first: Subnet, names: tuple[str, ...], family: Family) -> Subnet:
    """Return `subnet` with the choices of `first` in the dimensions `names`."""
    kept = {name: choice for name, choice in subnet.items() if name not in names}
    largest = dict(family.space.largest())
    return family.space.subnet({**largest, **kept, **{name: first[name] for name in names if name in first}})


class ProgramsTests:
    """An output is made of programs that are run as often as the family says; most families have one, run once."""

    @torch.no_grad()
    def test_programs_make_the_output_and_run_as_often_as_the_passes_say(
        self, supernet: Supernet, extracted: Extracted
    ) -> None:
        family = supernet.family
        for subnet in some_subnets(family):
            passes = family.passes(subnet)
            made = _programs(family, extracted(subnet), {step.program for step in passes})
            run: list[tuple[str, int]] = []

            def recorded(name: str, made: dict[str, nn.Module] = made, run: list = run) -> Callable:
                def forward(inputs: Inputs) -> torch.Tensor:
                    run.append((name, batch_of(inputs)))
                    return call(made[name], inputs)

                return forward

            x = family.example_input(subnet, 3)
            output = family.compose({name: recorded(name) for name in made}, subnet)(x)
            assert torch.equal(output, supernet(x, subnet))
            assert run == [(p.program, 3 * p.batch) for p in passes for _ in range(p.times)]

    @torch.no_grad()
    def test_a_program_is_decided_by_its_dimensions(self, supernet: Supernet, extracted: Extracted) -> None:
        """Equal choices there give a program of equal tensors, cost and output, whatever else is chosen."""
        family, space = supernet.family, supernet.space
        rng = np.random.default_rng(0)
        for name, program in family.programs.items():
            first = space.sample(rng)
            for _ in range(3):
                other = _with(space.sample(rng), first, program.dimensions, family)
                assert program.key(other) == program.key(first)
                one, two = (program.view(extracted(subnet)).eval() for subnet in (first, other))
                x = program.example(first, 2)
                same = named_inputs(program.example(other, 2))
                assert all(torch.equal(own, same[key]) for key, own in named_inputs(x).items()), name
                assert torch.equal(call(one, x), call(two, x)), name
                state = two.state_dict()
                assert {k: v.shape for k, v in one.state_dict().items()} == {
                    k: v.shape for k, v in state.items()
                }
                fresh = program.view(family.build(other)).eval()
                fresh.load_state_dict(one.state_dict())
                assert torch.equal(call(fresh, x), call(one, x))

    def test_only_pass_dimensions_decide_the_passes(self, supernet: Supernet) -> None:
        family, space = supernet.family, supernet.space
        decided: dict[tuple[object, ...], Counter] = {}
        for row in space.sample_codes(np.random.default_rng(0), 40):
            subnet = space.from_codes(row)
            key = tuple(subnet[name] for name in family.pass_dimensions)
            passes = Counter(family.passes(subnet))
            assert decided.setdefault(key, passes) == passes
            assert {step.program for step in passes} <= {*family.programs}
        assert not {n for p in family.programs.values() for n in p.dimensions} & {*family.pass_dimensions}

    def test_macs_of_an_output_are_those_of_its_runs(self, supernet: Supernet) -> None:
        space, names = supernet.space, [*supernet.family.programs]
        codes = space.sample_codes(np.random.default_rng(0), 6)
        single = supernet.program_macs(codes).sum(axis=1)
        for row, macs in zip(codes, single, strict=True):
            subnet = space.from_codes(row)
            expected = sum(
                step.times * step.batch * macs[names.index(step.program)]
                for step in supernet.family.passes(subnet)
            )
            assert supernet.count(subnet).macs == expected
