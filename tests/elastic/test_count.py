"""Counting remembers parts, and knows the operators that formulas know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Counts, Part, Supernet
from nas.space import Dimension, Subnet
from tests.conformance.models import Widths
from tests.conformance.models._small import SmallFamily


class Counted(Widths):
    """Knows how often a network was run to be counted."""

    runs = 0

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> torch.Tensor:
        self.runs += 1
        return super().example_input(subnet, batch_size)


def test_a_subnet_is_counted_once() -> None:
    family = Counted()
    supernet = Supernet(family)
    first = supernet.count(family.space.largest())
    assert supernet.count(family.space.subnet(dict(family.space.largest()))) == first
    assert family.runs == 1


def test_bulk_counts_run_a_network_per_block_configuration_at_most() -> None:
    family = Counted()
    supernet = Supernet(family)
    codes = family.space.sample_codes(np.random.default_rng(0), 500)
    bulk = supernet.counts(codes)
    # width × expand × kernel of a block: 27 configurations, while the space has 1,080 subnets.
    assert family.runs <= 27 + 3
    before = family.runs
    supernet.counts(codes[::-1])
    assert family.runs == before
    other = Supernet(Widths())
    for row in range(0, 500, 50):
        counts = other.count(family.space.from_codes(codes[row]))
        assert counts == Counts(*(int(bulk[name][row]) for name in ("macs", "params", "size_bytes")))


def test_no_codes_count_nothing() -> None:
    supernet = Supernet(Widths())
    bulk = supernet.counts(np.empty((0, len(supernet.space.dimensions)), dtype=np.int16))
    assert {name: values.shape for name, values in bulk.items()} == {
        "macs": (0,),
        "params": (0,),
        "size_bytes": (0,),
    }


@pytest.mark.parametrize("training", [False, True])
def test_counting_changes_no_statistic_and_keeps_the_mode(training: bool) -> None:
    supernet = Supernet(Widths()).train(training)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.counts(supernet.space.sample_codes(np.random.default_rng(0), 5))
    assert supernet.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())


class Attention(nn.Module):
    """Fused attention over three tokens of eight channels."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x_btc: torch.Tensor) -> torch.Tensor:
        query, key, value = (y[:, None] for y in self.qkv(x_btc).chunk(3, -1))
        return nn.functional.scaled_dot_product_attention(query, key, value)[:, 0]


class Fused(SmallFamily):
    """One block of fused attention, which torch runs as one operator."""

    input_shape = (3, 8)

    def __init__(self) -> None:
        super().__init__("fused", [Dimension("unused", (0,))], [Part("block", lambda _: Attention())])


def test_fused_attention_is_counted() -> None:
    supernet = Supernet(Fused())
    # the projection, then queries times keys and weights times values
    assert supernet.count(supernet.space.largest()).macs == 3 * 8 * 24 + 2 * 3 * 3 * 8


def test_counts_add_up() -> None:
    assert Counts(1, 2, 3) + Counts(10, 20, 30) == Counts(11, 22, 33)
    assert sum([Counts(1, 2, 3)] * 3, Counts()) == Counts(3, 6, 9)
