"""Pictures of several sizes: what costs what at each, what is refused, and what a subnet computes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from timm.layers import Conv2dSame  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

from nas.derive import DerivedFamily, derive
from nas.elastic import Supernet, calibrate
from nas.errors import UsageError
from nas.latency.macs import macs_by_operator
from tests.derive.nets import Net, conv, image, linear


def network(stride: int = 2) -> nn.Module:
    """Return a small network of pictures with a large kernel that is padded as it runs."""
    return nn.Sequential(
        conv(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), Conv2dSame(16, 16, 5, stride=stride, groups=16),
        conv(16, 24, 3, padding=1, stride=2), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        linear(24, 5),
    ).eval()  # fmt: skip


def derived(sizes: tuple[int, ...] = (12, 16, 19)) -> tuple[nn.Module, Any]:
    """Return the network and what is derived of it, traced at 16 pixels."""
    model = network()
    return model, derive(model, (image(16),), elastic=("kernel", "bits"), resolutions=sizes)


def test_resolution_is_a_dimension_of_pictures():
    model, found = derived()
    family = found.family
    assert family.space["resolution"].choices == (12, 16, 19)
    assert family.input_dimensions == ("resolution",)
    assert ("resolution", "resolution", (12, 16, 19)) in [
        (d.name, d.kind, d.choices) for d in found.report.dimensions
    ]
    supernet = Supernet(family).eval()
    supernet.network.load_state_dict(found.state_dict)
    largest = family.space.largest()
    with torch.no_grad():
        for size in (12, 16, 19):
            subnet = family.space.subnet({**largest, "resolution": size})
            x = family.example_input(subnet, 2)
            assert x.shape == (2, 3, size, size)
            assert family.prepare(torch.rand(2, 3, 19, 19), subnet).shape == x.shape
            assert torch.equal(supernet(x, subnet), model(x))


def test_costs_are_counted_at_every_size():
    _, found = derived()
    family = found.family
    supernet = Supernet(family).eval()
    for base in (family.space.smallest(), family.space.largest()):
        macs = []
        for size in (12, 16, 19):
            subnet = family.space.subnet({**base, "resolution": size})
            operators = macs_by_operator(supernet.extract(subnet), family.example_input(subnet))
            macs.append(supernet.count(subnet).macs)
            assert macs[-1] == operators["conv"] + operators["linear"]
        assert macs == sorted({*macs})


def test_costs_of_attention_follow_the_number_of_tokens():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = linear(16, 48), linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x.flatten(2).mT).chunk(3, -1)
            return self.proj((q @ k.mT / 4).softmax(-1) @ v).mean(1)

    model = nn.Sequential(conv(3, 24, 4, stride=4), nn.ReLU(), conv(24, 16), Tokens(), linear(16, 5)).eval()
    found = derive(model, (image(16),), resolutions=(8, 16, 24))
    supernet = Supernet(found.family).eval()
    for size in (8, 16, 24):
        tokens = (size // 4) ** 2
        subnet = found.family.space.subnet({**found.family.space.largest(), "resolution": size})
        layers = tokens * (3 * 16 * 24 + 24 * 16 + 16 * 48 + 16 * 16) + 16 * 5
        assert supernet.count(subnet).macs == layers + 2 * tokens**2 * 16


def test_a_specification_makes_it_again_without_tracing():
    _, found = derived()
    specification = json.loads(json.dumps(found.family.options["specification"]))
    again = DerivedFamily(specification, network())
    assert json.dumps(again.options["specification"]) == json.dumps(found.family.options["specification"])
    plain = found.family.space.smallest()
    subnet = again.space.subnet({name: choice for name, choice in plain.items() if name in again.space})
    assert Supernet(again).count(subnet).macs == Supernet(found.family).count(plain).macs
    assert again.native["resolution"] == 16
    assert again.native == again.space.subnet({**again.space.largest(), "resolution": 16})


def test_statistics_are_found_at_the_subnets_own_size():
    _, found = derived()
    family = found.family
    supernet = Supernet(family).eval()
    subnet = family.space.subnet({**family.space.largest(), "resolution": 12})
    static: Any = supernet.extract(subnet)
    seen: list[torch.Size] = []
    static.model[1].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:]))
    calibrate(static, [family.prepare(torch.rand(8, 3, 19, 19), subnet)])
    assert seen == [(12, 12)]


def test_a_kernel_that_leaves_the_centre_at_another_size_is_fixed():
    """With a stride of 4 the padding of a kernel of 3 is cut off at 0 at sizes that 4 divides."""
    model = network(stride=4)
    alone = derive(model, (image(17),), elastic="kernel")
    assert [d.name for d in alone.report.dimensions if d.kind == "kernel"] == ["3.kernel"]
    found = derive(model, (image(17),), elastic="kernel", resolutions=(16, 17))
    assert not [d.name for d in found.report.dimensions if d.kind == "kernel"]
    (reason,) = {each.reason for each in found.report.fixed if "3.weight[2]" in each.where}
    assert "at 16 × 16" in reason


def test_what_takes_no_such_pictures_is_refused_in_one_sentence():
    flat = nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 4), nn.Flatten(), linear(4 * 64, 5)).eval()
    maps = nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 4)).eval()
    vectors = nn.Sequential(linear(6, 16), nn.ReLU(), linear(16, 5)).eval()
    cases: list[tuple[nn.Module, torch.Tensor, tuple[Any, ...], str]] = [
        (flat, image(8), (8, 16), "Sequential does not take pictures of 16 × 16 .*; leave 16 out"),
        (maps, image(8), (8, 16), "the output of Sequential has shape .*; leave resolutions out"),
        (vectors, torch.randn(2, 6), (8, 16), "resolutions are of one square picture"),
        (maps, image(8), (8,), "two sizes or more are expected"),
        (maps, image(8), (8, 16.5), "two sizes or more are expected"),
    ]
    for model, x, sizes, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            derive(model, (x,), resolutions=sizes)


def test_where_the_code_cannot_follow_the_graph_is_no_way_out(monkeypatch: pytest.MonkeyPatch):
    """A graph is of one size, so what the modules cannot follow is fixed instead."""
    monkeypatch.setattr("nas.derive.derivation.ENOUGH", 1.0)
    model = Net(
        lambda x, a, b, c: c(a(x).unflatten(1, (4, 8)).flatten(1, 2).reshape(len(x), 32, *x.shape[2:]).relu()).mean((2, 3)) + b(x).mean(),
        conv(3, 32), conv(3, 1), nn.Sequential(conv(32, 16), nn.ReLU(), conv(16, 5)),
    ).eval()  # fmt: skip
    assert derive(model, (image(8),)).report.built_from == "graph"
    found = derive(model, (image(8),), resolutions=(8, 12))
    assert found.report.built_from == "modules"
    assert [d.name for d in found.report.dimensions] == ["layers.2.0.width", "resolution"]
