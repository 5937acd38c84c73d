"""MACs, parameters and bytes are those of the extracted network, however they are asked for."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nas.elastic import Counts, Inputs, Supernet, call, packed
from nas.latency.macs import macs_by_operator
from nas.testing.families._case import Extracted, some_subnets

_PRODUCTS = ("conv", "linear", "matmul", "bmm", "addmm", "scaled_dot_product_attention")


def _macs_by_fvcore(network: nn.Module, x: Inputs) -> int:
    """Count convolutions and matrix products independently of torch's counter."""
    operators = macs_by_operator(network, x)
    return int(sum(operators.get(name, 0) for name in _PRODUCTS))


class Counting:
    """MACs, parameters and bytes are those of the extracted network, however they are asked for."""

    def test_counts_equal_the_extracted_network(self, supernet: Supernet, extracted: Extracted) -> None:
        for subnet in some_subnets(supernet.family, 1):
            network = extracted(subnet)
            kinds = (torch.int8, torch.uint8)  # weights of few bits
            state = packed(network).state_dict().values()
            stored = [tensor for tensor in state if tensor.is_floating_point() or tensor.dtype in kinds]
            assert supernet.count(subnet) == Counts(
                macs=_macs_by_fvcore(network, supernet.family.example_input(subnet)),
                params=sum(parameter.numel() for parameter in network.parameters()),
                size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in stored),
            )

    def test_bulk_counts_equal_single_counts(self, supernet: Supernet) -> None:
        space = supernet.space
        codes = space.sample_codes(np.random.default_rng(0), 12)
        for _ in range(2):  # the second time everything is remembered
            bulk = supernet.counts(codes)
            assert all(values.dtype == np.int64 for values in bulk.values())
            for row in (0, 5, 11):
                single = supernet.count(space.from_codes(codes[row]))
                assert (bulk["macs"][row], bulk["params"][row], bulk["size_bytes"][row]) == (
                    single.macs,
                    single.params,
                    single.size_bytes,
                )

    def test_parts_add_up_and_left_out_parts_cost_nothing(self, supernet: Supernet) -> None:
        for subnet in some_subnets(supernet.family):
            parts = supernet.count_parts(subnet)
            assert set(parts) == {part.name for part in supernet.family.parts if part.is_active(subnet)}
            assert sum(parts.values(), Counts()) == supernet.count(subnet)

    def test_largest_costs_most(self, supernet: Supernet) -> None:
        space = supernet.space
        smallest, largest = supernet.count(space.smallest()), supernet.count(space.largest())
        bulk = supernet.counts(space.sample_codes(np.random.default_rng(0), 12))
        assert smallest.macs < largest.macs
        for values, low, high in (
            (bulk["macs"], smallest.macs, largest.macs),
            (bulk["params"], smallest.params, largest.params),
            (bulk["size_bytes"], smallest.size_bytes, largest.size_bytes),
        ):
            assert low <= values.min()
            assert values.max() <= high

    def test_counting_leaves_the_supernet_as_it_was(self, fresh: Supernet) -> None:
        """A count in the middle of training must not put shared skeletons into evaluation mode for the next step."""
        subnet = fresh.space.largest()
        fresh.train()
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        fresh.count(subnet)
        assert fresh.training
        assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
        x = fresh.family.example_input(subnet, 4)
        static = fresh.extract(subnet).train()
        torch.manual_seed(0)
        expected = call(static, x)
        torch.manual_seed(0)
        assert torch.equal(fresh(x, subnet), expected)
