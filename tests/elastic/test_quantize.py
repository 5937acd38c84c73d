"""Weights of few bits: how far they are from the weights, that doing it twice changes nothing, and how they are packed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.elastic import (
    BITS,
    BLOCK,
    PackedConv2d,
    PackedLinear,
    QuantizedConv2d,
    QuantizedLinear,
    dequantize,
    pack,
    packed,
    quantize,
    quantize_layers,
    quantized,
    quantized_bytes,
    settle,
    unpack,
)
from nas.space import SpaceError


@settings(max_examples=60, deadline=None)
@given(outputs=st.integers(1, 4), inputs=st.integers(1, 70), seed=st.integers(0, 2**31))
def test_packing_is_undone_by_unpacking(outputs: int, inputs: int, seed: int) -> None:
    whole = torch.from_numpy(np.random.default_rng(seed).integers(-8, 8, (outputs, inputs)).astype(np.int8))
    found = pack(whole)
    assert found.dtype == torch.uint8 and found.shape == (outputs, (inputs + 1) // 2)
    assert torch.equal(unpack(found, inputs), whole)


def test_the_first_of_two_is_the_low_half_of_a_byte() -> None:
    assert pack(torch.tensor([[1, -1, -8, 7, 5]], dtype=torch.int8)).tolist() == [[0xF1, 0x78, 0x05]]


@settings(max_examples=80, deadline=None)
@given(
    bits=st.sampled_from(BITS),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 70)),
    power=st.integers(-30, 12),
    seed=st.integers(0, 2**31),
)
def test_quantizing_twice_changes_nothing_and_errs_by_half_a_step(
    bits: int, shape: tuple[int, int], power: int, seed: int
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2.0**power
    whole, scale = quantize(weight, bits)
    once = dequantize(whole, scale, bits)
    again = quantize(once, bits)
    assert torch.equal(dequantize(*again, bits), once)
    spread = scale.float() if bits == 8 else scale.float().repeat_interleave(BLOCK, 1)[:, : shape[1]]
    # What is beyond the largest integer is cut off: less than a step of the scale's own rounding.
    slack = 127 * 2.0**-14 if bits == 8 else 7 * 2.0**-9
    error = (once - weight).abs()
    tiny = 8 * 2.0**-24 if bits == 4 else 0.0  # below the smallest float16
    assert bool((error <= spread * (0.5 + slack) + tiny).all())
    assert int(whole.abs().max()) <= (127 if bits == 8 else 7)


def test_scales_are_an_outputs_own_or_a_blocks() -> None:
    weight = torch.randn(3, 5, 3, 3)
    assert [tuple(x.shape) for x in quantize(weight, 8)] == [(3, 45), (3, 1)]
    assert [tuple(x.shape) for x in quantize(weight, 4)] == [(3, 45), (3, 2)]
    far = weight.clone()
    far[0] *= 100
    assert torch.equal(quantize(far, 8)[0][1:], quantize(weight, 8)[0][1:])
    whole, scale = quantize(torch.cat([torch.full((1, 32), 0.01), torch.full((1, 3), 100.0)], 1), 4)
    assert whole.abs().eq(7).all()
    assert scale.dtype == torch.float16
    assert float(scale[0, 1] / scale[0, 0]) == pytest.approx(1e4, rel=1e-2)


@pytest.mark.parametrize("bits", BITS)
def test_what_is_not_finite_stays_so_and_nothing_stays_nothing(bits: int) -> None:
    for bad in (float("nan"), float("inf")):
        weight = torch.ones(2, 40)
        weight[0, 3] = bad
        found = quantized(weight, bits)
        assert not found[0].isfinite().all()
        assert torch.allclose(found[1], torch.ones(40), atol=1e-3)
    assert torch.equal(quantized(torch.zeros(2, 7), bits), torch.zeros(2, 7))


@pytest.mark.parametrize("bits", BITS)
def test_gradients_pass_straight_through(bits: int) -> None:
    weight = torch.randn(4, 6, requires_grad=True)
    direction = torch.randn(4, 6)
    (quantized(weight, bits) * direction).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, direction)


def test_other_numbers_of_bits_are_refused() -> None:
    with pytest.raises(SpaceError, match="can have 4 or 8"):
        quantize(torch.ones(2, 2), 3)
    with pytest.raises(SpaceError, match="can have 4 or 8"):
        quantize_layers(nn.Linear(2, 2), 16)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.linear = nn.Linear(5, 7, bias=False)
        self.same = self.linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.same(self.grouped(self.conv(x)).mean((2, 3)))


@torch.no_grad()
@pytest.mark.parametrize("bits", BITS)
def test_floats_settled_and_packed_compute_the_same(bits: int) -> None:
    torch.manual_seed(0)
    plain = _Net().eval()
    net: Any = quantize_layers(copy.deepcopy(plain), bits)
    assert (type(net.conv), type(net.grouped), type(net.linear)) == (
        QuantizedConv2d,
        nn.Conv2d,
        QuantizedLinear,
    )
    x = torch.randn(2, 3, 8, 8)
    expected = net(x)
    assert not torch.equal(expected, plain(x))
    manual = F.conv2d(x, quantized(plain.conv.weight, bits), plain.conv.bias, 2, 1)
    assert torch.equal(net.conv(x), manual)
    small: Any = packed(net)
    assert torch.equal(small(x), expected)
    assert torch.equal(net.conv.weight, plain.conv.weight), "packing leaves the layer as it is"
    settle(net)
    assert not torch.equal(net.conv.weight, plain.conv.weight)
    assert torch.equal(net(x), expected) and torch.equal(packed(net)(x), expected)
    assert isinstance(small.conv, PackedConv2d) and isinstance(small.linear, PackedLinear)
    assert small.linear is small.same and small.grouped is net.grouped
    assert torch.equal(small.conv.weight, net.conv.weight)
    state = small.conv.state_dict()
    assert set(state) == {"packed_weight", "weight_scale", "bias"}
    stored = sum(state[name].nbytes for name in ("packed_weight", "weight_scale"))
    assert stored == quantized_bytes(plain.conv.weight.shape, bits)
    assert packed(plain) is plain


@torch.no_grad()
def test_a_settled_layer_is_quantized_anew_after_training_or_loading() -> None:
    layer: Any = settle(quantize_layers(nn.Linear(4, 3), 4).eval())
    x = torch.randn(2, 4)
    layer.train()
    layer.weight.add_(0.01)
    assert torch.equal(layer(x), F.linear(x, quantized(layer.weight, 4), layer.bias))
    settle(layer.eval())
    other = nn.Linear(4, 3)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), F.linear(x, quantized(other.weight, 4), other.bias))
