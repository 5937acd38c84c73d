"""Networks of one input and of several are handled alike."""

from __future__ import annotations

import torch
from torch import nn

from nas.elastic import batch_of, call, cat_inputs, map_inputs, named_inputs, positional, split_inputs


class Sum(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left - right


ONE = torch.arange(6.0).reshape(3, 2)
TWO = {"right": ONE, "left": 3 * ONE}


def test_call_hands_named_inputs_over_by_name_and_positional_by_place() -> None:
    assert torch.equal(call(nn.Identity(), ONE), ONE)
    assert torch.equal(call(Sum(), TWO), 2 * ONE)
    network, tensors = positional(Sum().eval(), TWO)
    assert not network.training
    assert torch.equal(network(*tensors), 2 * ONE)
    single = nn.Identity()
    assert positional(single, ONE) == (single, (ONE,))


def test_batches_are_cut_and_joined() -> None:
    for x in (ONE, TWO):
        assert batch_of(x) == 3
        pieces = split_inputs(x, [1, 2])
        assert [batch_of(piece) for piece in pieces] == [1, 2]
        assert [batch_of(piece) for piece in split_inputs(x, 2)] == [2, 1]
        joined = named_inputs(cat_inputs(pieces))
        assert list(joined) == list(named_inputs(x))
        assert all(torch.equal(joined[name], tensor) for name, tensor in named_inputs(x).items())
    assert torch.equal(named_inputs(map_inputs(lambda x: -x, TWO))["left"], -3 * ONE)
