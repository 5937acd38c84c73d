"""Every way to make a subnet stays inside the space, and every way to write one down gives it back."""

from __future__ import annotations

import numpy as np
import optuna
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.elastic import Supernet
from nas.space import SearchSpace, Subnet

# A test of the suite is run by many classes; the same examples in every run, however slow the machine is.
_FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


def _draw(data: st.DataObject, space: SearchSpace) -> Subnet:
    choices = {d.name: data.draw(st.sampled_from(d.choices)) for d in space.dimensions}
    return space.subnet(choices)


def _assert_canonical(space: SearchSpace, subnet: Subnet) -> None:
    assert space.subnet(subnet) == subnet
    assert list(subnet) == [name for name in space.names if name in subnet]
    for dimension in space.dimensions:
        parent = dimension.active_if
        active = parent is None or subnet.get(parent[0]) in parent[1]
        assert (dimension.name in subnet) == active


class Spaces:
    """Every way to make a subnet stays inside the space, and every way to write one down gives it back."""

    @_FEW
    @given(data=st.data())
    def test_every_written_form_gives_the_subnet_back(self, supernet: Supernet, data: st.DataObject) -> None:
        space = supernet.space
        subnet = _draw(data, space)
        _assert_canonical(space, subnet)
        codes = space.codes([subnet])
        assert space.from_json(subnet.to_json()) == subnet
        assert space.from_codes(codes[0]) == subnet
        assert space.decode(space.encode(codes)[0]) == subnet
        assert space.suggest(optuna.trial.FixedTrial(space.params(subnet))) == subnet
        assert hash(space.from_codes(codes[0])) == hash(subnet)

    @_FEW
    @given(data=st.data(), seed=st.integers(0, 2**32 - 1), rate=st.floats(0, 1))
    def test_sampling_mutation_and_crossover_are_closed(
        self, supernet: Supernet, data: st.DataObject, seed: int, rate: float
    ) -> None:
        space, rng = supernet.space, np.random.default_rng(seed)
        first, second = _draw(data, space), _draw(data, space)
        mutant, child, drawn = (
            space.mutate(first, rng, rate),
            space.crossover(first, second, rng),
            space.sample(rng),
        )
        for subnet in (mutant, child, drawn):
            _assert_canonical(space, subnet)
        assert mutant != first
        for name, choice in child.items():
            parents = [parent[name] for parent in (first, second) if name in parent]
            assert not parents or choice in parents

    @_FEW
    @given(data=st.data())
    def test_every_subnet_is_built_with_the_tensors_that_the_layouts_promise(
        self, supernet: Supernet, data: st.DataObject
    ) -> None:
        subnet = _draw(data, supernet.space)
        shapes = {name: tensor.shape for name, tensor in supernet.slices(subnet).items()}
        network = supernet.skeleton(subnet)
        tensors = dict(network.named_parameters()) | dict(network.named_buffers())
        assert shapes == {name: tensor.shape for name, tensor in tensors.items()}
        assert all(tensor.is_meta for tensor in tensors.values())
