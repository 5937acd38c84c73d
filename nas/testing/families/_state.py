"""A supernet's state is plain tensors: it copies, saves and loads like any module's."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nas.elastic import Supernet, call, map_inputs
from nas.testing.families._case import Supernets, some_subnets


class StateTests(Supernets):
    """A supernet's state is plain tensors: it copies, saves and loads like any module's."""

    @torch.no_grad()
    def test_state_dict_goes_through_a_file_without_pickle(self, supernet: Supernet, tmp_path: Path) -> None:
        save_file(supernet.state_dict(), tmp_path / "weights.safetensors")
        torch.manual_seed(1)
        other = Supernet(self.case.make()).eval()
        subnets = some_subnets(supernet.family, 1)
        x = supernet.family.example_input(subnets[1], 2)
        assert not torch.equal(other(x, subnets[1]), supernet(x, subnets[1]))
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        for subnet in subnets:
            x = supernet.family.example_input(subnet, 2)
            assert torch.equal(other(x, subnet), supernet(x, subnet))

    @torch.no_grad()
    def test_load_by_assignment_is_seen_by_skeletons_already_built(self, fresh: Supernet) -> None:
        subnet = fresh.space.smallest()
        x = fresh.family.example_input(subnet, 2)
        before = fresh(x, subnet)
        doubled = {k: t * 2 if t.is_floating_point() else t for k, t in fresh.state_dict().items()}
        fresh.load_state_dict(doubled, assign=True)
        after = fresh(x, subnet)
        assert not torch.equal(after, before)
        assert torch.equal(after, call(fresh.extract(subnet), x))

    @torch.no_grad()
    def test_deepcopy_is_independent(self, fresh: Supernet) -> None:
        subnet = fresh.space.smallest()
        x = fresh.family.example_input(subnet, 2)
        expected = fresh(x, subnet)
        twin = copy.deepcopy(fresh)
        assert torch.equal(twin(x, subnet), expected)
        for parameter in twin.parameters():
            parameter.add_(0.5)
        assert not torch.equal(twin(x, subnet), expected)
        assert torch.equal(fresh(x, subnet), expected)
        assert twin.count(subnet) == fresh.count(subnet)

    @torch.no_grad()
    def test_double_precision_flows_through_skeletons(self, fresh: Supernet) -> None:
        subnet = some_subnets(fresh.family, 1)[-1]
        x = fresh.family.example_input(subnet, 2)
        expected = fresh(x, subnet)
        doubled = map_inputs(lambda t: t.double() if t.is_floating_point() else t, x)
        given = fresh.double()(doubled, subnet)
        assert given.dtype == torch.float64
        np.testing.assert_allclose(given.float(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))

    def test_a_failing_call_leaves_nothing_bound(self, fresh: Supernet) -> None:
        subnet = fresh.space.smallest()
        wrong = map_inputs(lambda x: x.new_zeros(2, 1, 1), fresh.family.example_input(subnet))
        with pytest.raises((RuntimeError, ValueError, AssertionError)):
            fresh(wrong, subnet)
        assert all(tensor.is_meta for tensor in fresh.skeleton(subnet).state_dict().values())
        x = fresh.family.example_input(subnet, 2)
        assert torch.equal(fresh(x, subnet), call(fresh.extract(subnet), x))
