"""Every rule on a small network: the dimensions that it leaves, and the proof that these are right."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.derive.labels.rules import rules
from tests.derive.nets import (
    Net,
    attention,
    between,
    between_convs,
    conv,
    find,
    image,
    lengths,
    linear,
    proved,
    tokens,
    vector,
)


def scores(x, q, k, v, out, product):
    weights = product(q(x), k(x)).softmax(-1)
    return out(weights @ v(x))


# name: (operations whose rules it is about, network, input, lengths of its dimensions)
CASES = {
    "linear": ("linear", between(lambda x: x), vector(), [12]),
    "matmul": ("matmul", Net(lambda x, a, w: a(x) @ w, linear(6, 12), torch.randn(12, 3)), vector(), [12]),
    "mm": ("mm", Net(lambda x, a, w: torch.mm(a(x), w), linear(6, 12), torch.randn(12, 3)), vector(), [12]),
    "bmm": ("bmm softmax", Net(lambda x, q, k, v, o: scores(x, q, k, v, o, lambda q, k: torch.bmm(q, k.mT)), linear(6, 5), linear(6, 5), linear(6, 7), linear(7, 3)), tokens(), [5, 7]),
    "addmm": ("addmm", Net(lambda x, a, w, c: torch.addmm(c, a(x), w), linear(6, 12), torch.randn(12, 3), torch.randn(3)), vector(), [12]),
    "baddbmm": ("baddbmm mT", Net(lambda x, q, k, v, o: scores(x, q, k, v, o, lambda q, k: torch.baddbmm(torch.zeros(2, 5, 5), q, k.mT)), linear(6, 4), linear(6, 4), linear(6, 7), linear(7, 3)), tokens(), [4, 7]),
    "einsum": ("einsum", Net(lambda x, q, k, v, o: scores(x, q, k, v, o, lambda q, k: torch.einsum("bnd,bmd->bnm", q, k)), linear(6, 4), linear(6, 4), linear(6, 7), linear(7, 3)), tokens(), [4, 7]),
    "outer": ("outer", Net(lambda x, a, b, c: (a(x) @ torch.outer(b, c)), linear(6, 5), torch.randn(5), torch.randn(3)), vector(), [5]),
    "embedding": ("embedding", Net(lambda x, e, a: a(e(x)).mean(1), nn.Embedding(9, 12), linear(12, 3)), torch.randint(9, (2, 4)), [12]),
    "conv1d": ("conv1d", Net(lambda x, a, b: b(a(x)), nn.Conv1d(3, 8, 3), nn.Conv1d(8, 2, 1)), torch.randn(2, 3, 9), [8]),
    "conv3d": ("conv3d", Net(lambda x, a, b: b(a(x)), nn.Conv3d(3, 8, 3), nn.Conv3d(8, 2, 1)), torch.randn(2, 3, 4, 4, 4), [8]),
    "conv2d": ("conv2d", between_convs(lambda x: x), image(), [12]),
    "depthwise": ("conv2d", Net(lambda x, a, b, c: c(b(a(x))), conv(3, 12), conv(12, 12, 3, groups=12), conv(12, 2)), image(), [12]),
    "depth multiplier": ("conv2d", Net(lambda x, a, b, c: c(b(a(x))), conv(3, 4), conv(4, 12, 3, groups=4), conv(12, 2)), image(), [3, 4]),
    "grouped": ("conv2d", Net(lambda x, a, b, c: c(b(a(x))), conv(3, 12), conv(12, 15, 3, groups=3), conv(15, 2)), image(), [3, 4, 5]),
    "transposed": ("conv_transpose2d", Net(lambda x, a, b, c: c(b(a(x))), conv(3, 5), nn.ConvTranspose2d(5, 7, 2), conv(7, 2)), image(), [5, 7]),
    "grouped transposed": ("conv_transpose2d", Net(lambda x, a, b, c: c(b(a(x))), conv(3, 12), nn.ConvTranspose2d(12, 15, 2, groups=3), conv(15, 2)), image(), [3, 4, 5]),
    "transposed 1d": ("conv_transpose1d", Net(lambda x, a, b: b(a(x)), nn.ConvTranspose1d(3, 8, 3), nn.Conv1d(8, 2, 1)), torch.randn(2, 3, 9), [8]),
    "pixel_shuffle": ("pixel_shuffle", between_convs(lambda x: F.pixel_shuffle(x, 2), 12, 3), image(), [3]),
    "pixel_unshuffle": ("pixel_unshuffle", between_convs(lambda x: F.pixel_unshuffle(x, 2), 5, 20), image(), [5]),
    "channel_shuffle": ("channel_shuffle", between_convs(lambda x: F.channel_shuffle(x, 3), 12), image(), [3, 4]),
    "unfold": ("unfold", between_convs(lambda x: x.unfold(2, 2, 2).mean(-1), 12), image(), [12]),
    "im2col": ("im2col", Net(lambda x, a, b: b(F.unfold(a(x), 2).mT).mean(1), conv(3, 5), linear(20, 3)), image(), [5]),
    "col2im": ("col2im", Net(lambda x, a, b: b(F.fold(a(x.flatten(2).mT).mT, 4, 2, stride=2)), linear(3, 20), conv(5, 2)), image(2), [5]),
    "batch_norm": ("batch_norm", Net(lambda x, a, n, b: b(n(a(x))), conv(3, 12), nn.BatchNorm2d(12), conv(12, 2)), image(), [12]),
    "instance_norm": ("instance_norm", Net(lambda x, a, n, b: b(n(a(x))), conv(3, 12), nn.InstanceNorm2d(12, affine=True), conv(12, 2)), image(), [12]),
    "layer_norm": ("layer_norm", Net(lambda x, a, n, b: b(n(a(x))), linear(6, 12), nn.LayerNorm(12), linear(12, 2)), vector(), [12]),
    "rms_norm": ("rms_norm", Net(lambda x, a, n, b: b(n(a(x))), linear(6, 12), nn.RMSNorm(12), linear(12, 2)), vector(), [12]),
    "group_norm": ("group_norm", Net(lambda x, a, n, b: b(n(a(x))), conv(3, 12), nn.GroupNorm(3, 12), conv(12, 2)), image(), [3, 4]),
    "softmax": ("softmax", between(lambda x: x.softmax(-1)), vector(), []),
    "log_softmax": ("log_softmax", between(lambda x: x.view(2, 3, 4).log_softmax(1).flatten(1)), vector(), [4]),
    "cumsum": ("cumsum", between(lambda x: x.view(2, 3, 4).cumsum(2).flatten(1)), vector(), [3]),
    "mean": ("mean", between(lambda x: x - x.mean(-1, keepdim=True)), vector(), [12]),
    "sum": ("sum", between(lambda x: x.sigmoid() / x.sigmoid().sum(-1, keepdim=True)), vector(), [12]),
    "var": ("var std amax amin", between(lambda x: x / x.var(-1, keepdim=True) + x.std(-1, keepdim=True) + x.amax(-1, True) + x.amin(-1, True)), vector(), [12]),
    "norm": ("linalg_vector_norm", between(lambda x: F.normalize(x, dim=-1)), vector(), [12]),
    "max": ("max", between(lambda x: x.view(2, 3, 4).max(1).values, after=4), vector(), [4]),
    "attention": ("scaled_dot_product_attention unbind permute", Net(attention, linear(6, 45), linear(15, 6)), tokens(), [3, 5]),
    "pointwise": ("pointwise", between(lambda x: F.gelu(x) * x.sigmoid() + 1), vector(), [12]),
    "broadcast": ("pointwise", Net(lambda x, a, b, s: b(a(x) * s), linear(6, 12), linear(12, 3), torch.randn(1, 12)), vector(), [12]),
    "where": ("where masked_fill", between(lambda x: torch.where(x > 0, x, x * 0.1).masked_fill(x > 1, 0.5)), vector(), [12]),
    "prelu": ("prelu", Net(lambda x, a, p, b: b(p(a(x))), conv(3, 12), nn.PReLU(12), conv(12, 2)), image(), [12]),
    "in place": ("pointwise", between(lambda x: F.hardswish(x, inplace=True).relu_().mul_(2)), vector(), [12]),
    "copy": ("copy", between(lambda x: torch.zeros_like(x).copy_(x)), vector(), [12]),
    "view": ("view", between(lambda x: x.view(2, 3, 4).view(2, 12)), vector(), [3, 4]),
    "reshape": ("reshape transpose", between(lambda x: x.reshape(2, 3, 4).transpose(1, 2).reshape(2, 12)), vector(), [3, 4]),
    "flatten": ("flatten", Net(lambda x, a, b: b(a(x).flatten(1)), conv(3, 5), linear(80, 3)), image(), [5]),
    "unflatten": ("unflatten squeeze unsqueeze", between(lambda x: x.unflatten(1, (3, 4)).unsqueeze(1).squeeze(1).flatten(1)), vector(), [3, 4]),
    "t": ("t", Net(lambda x, a, w: a(x) @ w.t(), linear(6, 12), torch.randn(3, 12)), vector(), [12]),
    "movedim": ("movedim", between(lambda x: x.view(2, 3, 4).movedim(1, 2).flatten(1)), vector(), [3, 4]),
    "expand": ("expand", Net(lambda x, a, b, s: b(a(x) + s.expand(2, 12)), linear(6, 12), linear(12, 3), torch.randn(1, 12)), vector(), [12]),
    "repeat": ("repeat", between(lambda x: x.repeat(1, 2), after=24), vector(), [12]),
    "repeat_interleave": ("repeat_interleave", between(lambda x: x.repeat_interleave(2, 1), after=24), vector(), [12]),
    "flip": ("flip", between(lambda x: x.flip(1)), vector(), [12]),
    "roll": ("roll", between(lambda x: x.view(2, 3, 4).roll(1, 2).flatten(1)), vector(), [3]),
    "tril": ("tril", Net(lambda x, a, b, w: b(a(x) @ w.tril()), linear(6, 5), linear(4, 3), torch.randn(5, 4)), vector(), []),
    "cat": ("cat", Net(lambda x, a, b, c: c(torch.cat([a(x), b(x)], 1)), linear(6, 5), linear(6, 5), linear(10, 3)), vector(), [5, 5]),
    "stack": ("stack", Net(lambda x, a, b, c: c(torch.stack([a(x), b(x)], 2).sum(2)), linear(6, 5), linear(6, 5), linear(5, 3)), vector(), [5]),
    "interleaved": ("stack", Net(lambda x, a, b, c: c(torch.stack([a(x), b(x)], 2).flatten(1)), linear(6, 5), linear(6, 5), linear(10, 3)), vector(), [5]),
    "chunk": ("chunk", between(lambda x: torch.cat([*x.chunk(3, 1)][::-1], 1)), vector(), [4, 4, 4]),
    "gate": ("chunk", between(lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid(), after=6), vector(), [6]),
    "split": ("split split_with_sizes", between(lambda x: torch.cat([x.split([4, 8], 1)[1], x.split(4, 1)[0]], 1)), vector(), [4, 4, 4]),
    "glu": ("glu", between(lambda x: F.glu(x, 1), after=6), vector(), [6]),
    "pad": ("pad", between(lambda x: F.pad(x, (2, 1)), after=15), vector(), [12]),
    "slice": ("slice", between(lambda x: torch.cat([x[:, 5:], x[:, :5]], 1)), vector(), [5, 7]),
    "strided slice": ("slice", between(lambda x: torch.cat([x[:, ::2], x[:, 1::2]], 1)), vector(), [6, 6]),
    "narrow": ("narrow", between(lambda x: x.narrow(1, 3, 5), after=5), vector(), [5, 7]),
    "select": ("select", between(lambda x: x[:, :1] * 0 + x[:, 2:3] + x), vector(), [10]),
    "picked": ("select", Net(lambda x, a, b: b(a(x)) + a(x).select(1, 4).unsqueeze(1), linear(6, 12), linear(12, 3)), vector(), [11]),
    "index": ("index", Net(lambda x, a, b, t: b(a(x) + t[torch.tensor([1, 0])]), linear(6, 12), linear(12, 3), torch.randn(4, 12)), vector(), [12]),
    "index_select": ("index_select", Net(lambda x, a, b, t: b(a(x) + t.index_select(0, torch.tensor([1, 0]))), linear(6, 12), linear(12, 3), torch.randn(4, 12)), vector(), [12]),
    "gather": ("gather", Net(lambda x, a, e: a(e.expand(2, 9, 12).gather(1, x[..., None].expand(2, 4, 12))).mean(1), linear(12, 3), torch.randn(1, 9, 12)), torch.randint(9, (2, 4)), [12]),
    "pool": ("max_pool2d avg_pool2d adaptive_avg_pool2d", between_convs(lambda x: F.adaptive_avg_pool2d(F.max_pool2d(x, 2) + F.avg_pool2d(x, 2), 1)), image(), [12]),
    "upsample": ("upsample_bilinear2d upsample_nearest2d", between_convs(lambda x: F.interpolate(F.interpolate(x, scale_factor=2), (5, 5), mode="bilinear")), image(), [12]),
    "grid_sample": ("grid_sampler", between_convs(lambda x: F.grid_sample(x, torch.zeros(2, 3, 3, 2), align_corners=False)), image(), [12]),
    "zeros": ("zeros new_zeros", between(lambda x: torch.cat([x + torch.zeros(2, 12), x.new_zeros(2, 3)], 1), after=15), vector(), [12]),
    "arange": ("arange", between(lambda x: x * torch.arange(12)), vector(), []),
    "cast": ("to", between(lambda x: (x.float() * x.float().pow(2).mean(-1, True).rsqrt()).to(x.dtype)), vector(), [12]),
    "cubic": ("add", between(lambda x: (x + x**3).tanh()), vector(), [12]),
    "residual": ("add", Net(lambda x, a, b, c: c(a(x) + b(a(x))), linear(6, 12), linear(12, 12), linear(12, 3)), vector(), [12]),
    "conjunction": ("view", Net(lambda x, a, b, c: c((a(x).view(2, 3, 1) * b(x).view(2, 1, 4)).flatten(1)), linear(6, 3), linear(6, 4), linear(12, 2)), vector(), [3, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_an_operation_leaves_is_found_and_proved(name):
    _, model, x, expected = CASES[name]
    proof, dimensions = proved(model, x)
    assert lengths(dimensions) == expected
    assert proof.refuted == ()
    if expected:
        assert proof.error < 1e-9
        assert proof.moved > 1e-3


def test_every_case_is_about_rules_that_there_are():
    met = {operation for operations, *_ in CASES.values() for operation in operations.split()}
    assert met - rules().keys() == set()


def test_an_operation_without_a_rule_freezes_what_it_reads_and_is_named():
    """An LSTM among others."""
    lstm = nn.LSTM(12, 12, batch_first=True)
    model = Net(lambda x, a, r, b: b(r(a(x))[0]), linear(6, 12), lstm, linear(12, 3))
    _, labels, dimensions = find(model, tokens())
    assert lengths(dimensions) == []
    assert labels.unknown == {"lstm": 1}
    assert labels.conditions.reason(labels.tensors["model.layers.0.weight"][0]) == "there is no rule for lstm"


def test_operations_that_are_one_unit_or_are_looked_up_stay():
    _, labels, _ = find(
        Net(lambda x, e, a: a(e(x)), nn.Embedding(9, 12), linear(12, 3)), torch.randint(9, (2, 4))
    )
    assert labels.conditions.reason(labels.tensors["model.layers.0.weight"][0]) == "is looked up by the input"
