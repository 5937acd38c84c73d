"""Kernels that may be cropped are found with what pads them; a wrong crop fails the proof."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from nas.derive import DerivedFamily, derive, proof, prove
from nas.derive.spaces.kernels import elastic_kernels
from nas.elastic import Supernet
from tests.derive.nets import Net, conv, find, image, linear, proved

KINDS = ("kernel",)


def depthwise(channels: int, size: int, stride: int = 1, **options: Any) -> nn.Conv2d:
    """Return a convolution of each channel alone, with "same" padding unless another is given."""
    return nn.Conv2d(channels, channels, size, stride, **{"padding": size // 2, **options}, groups=channels)


def around(*layers: nn.Module, function: Any = None) -> Net:
    """Return layers between a stem and a head."""
    body = function or (lambda x, *inner: nn.Sequential(*inner)(x))
    return Net(
        lambda x, stem, head, *inner: head(body(stem(x), *inner).relu().mean((2, 3))),
        conv(3, 16, 3, padding=1), linear(16, 5), *layers,
    )  # fmt: skip


def _found(model: nn.Module, size: int = 8) -> Mapping[str, tuple[int, ...]]:
    _, labels, _ = find(model, image(size), kinds=())
    return {kernel.dimension: kernel.choices for kernel in elastic_kernels(labels)}


FOUND = {
    "depthwise": (around(depthwise(16, 5)), (3, 5)),
    "plain, with a stride": (around(conv(16, 16, 7, padding=3, stride=2)), (3, 5, 7)),
    "dilated": (around(depthwise(16, 5, padding=4, dilation=2)), (3, 5)),
    "same by name": (around(depthwise(16, 5, padding="same")), (3, 5)),
    "same at run time": (around(Conv2dSame(16, 16, 5, stride=2, groups=16)), (3, 5)),
    "padded by more": (around(depthwise(16, 5, padding=3)), (3, 5)),
}
NOT_FOUND = {
    "3 x 3": around(depthwise(16, 3)),
    "even": around(depthwise(16, 4)),
    "not square": around(nn.Conv2d(16, 16, (1, 7), padding=(0, 3))),
    "without padding": around(conv(16, 16, 5)),
    "padded with the image itself": around(depthwise(16, 5, padding_mode="reflect")),
    "padded outside of its module": around(
        depthwise(16, 5, padding=0), function=lambda x, inner: inner(F.pad(x, (2, 2, 2, 2)))
    ),
    "a weight that is computed": around(
        conv(16, 16, 5, padding=2), function=lambda x, inner: F.conv2d(x, inner.weight - inner.weight.mean(), None, 1, 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_kernels_with_same_padding_are_found_and_proved(name):
    model, choices = FOUND[name]
    assert _found(model) == {"layers.2.kernel": choices}
    seen, dimensions = proved(model, image(8), kinds=KINDS)
    assert not seen.refuted
    assert seen.error < 1e-12
    assert seen.moved > 1e-3
    assert list(dimensions.kernels) == ["layers.2.kernel"]


@pytest.mark.parametrize("name", NOT_FOUND)
def test_other_kernels_are_not(name):
    assert _found(NOT_FOUND[name]) == {}


def _off_by_one(weight: Tensor, size: int) -> Tensor:
    if size == weight.shape[2]:
        return weight
    start = (weight.shape[2] - size) // 2
    return weight.narrow(2, start, size).narrow(3, start - 1, size)


@pytest.mark.parametrize("name", FOUND)
def test_a_crop_beside_the_centre_is_caught(name, monkeypatch):
    monkeypatch.setattr(proof, "crop_centre", _off_by_one)
    seen, dimensions = proved(FOUND[name][0], image(8), kinds=KINDS)
    assert [refuted for refuted, _ in seen.refuted] == ["layers.2.kernel"]
    assert not dimensions.kernels


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_padding_that_does_not_follow_is_caught(wrong):
    network, labels, dimensions = find(around(depthwise(16, 5)), image(8), kinds=KINDS)
    (name, kernel), *_ = dimensions.kernels.items()
    dimensions.kernels[name] = replace(kernel, steps=dict.fromkeys(kernel.steps, wrong))
    seen = prove(labels, dimensions, network, labels.trace.examples)
    assert [refuted for refuted, _ in seen.refuted] == [name]


class Constant(nn.Module):
    """A convolution whose padding is a constant of the code."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.weight, self.groups = nn.Parameter(torch.randn(16, 16 // groups, 5, 5)), groups

    def forward(self, x: Tensor) -> Tensor:
        """Filter."""
        return F.conv2d(x, self.weight, None, 1, 2, 1, self.groups)


def test_code_that_cannot_follow_keeps_its_kernel():
    found = derive(around(Constant(16), conv(16, 16)).eval(), (image(8),), elastic="kernel")
    assert found.report.built_from == "modules"
    assert not [d for d in found.report.dimensions if d.kind == "kernel"]
    reasons = [each.reason for each in found.report.fixed if "layers.2.weight[2]" in each.where]
    assert len(reasons) == 1
    assert "cannot be smaller by the model's code" in reasons[0]


def test_kernels_of_a_graph_are_cropped_too(monkeypatch: pytest.MonkeyPatch):
    """Where the code can follow neither the kernel nor the width of its input."""
    monkeypatch.setattr("nas.derive.derivation.ENOUGH", 1.0)
    model: Any = around(Constant(1), function=lambda x, inner: inner(x.view(-1, 16, 8, 8))).eval()
    found = derive(model, (image(8),), elastic="kernel")
    assert found.report.built_from == "graph"
    space = found.family.space
    again = DerivedFamily(json.loads(json.dumps(found.family.options["specification"])))
    for family in (found.family, again):
        supernet = Supernet(family).eval()
        supernet.network.load_state_dict(found.state_dict)
        subnet = space.subnet({**space.largest(), "layers.2.kernel": 3})
        x = torch.randn(3, 3, 8, 8)
        with torch.no_grad():
            assert torch.equal(supernet(x, space.largest()), model(x))
            stem, head, inner = model.layers
            cropped = F.conv2d(stem(x), inner.weight[:, :, 1:4, 1:4], None, 1, 1)
            torch.testing.assert_close(supernet(x, subnet), head(cropped.relu().mean((2, 3))))
            assert supernet.extract(subnet).get_parameter("model.layers.2.weight").shape == (16, 16, 3, 3)


@pytest.mark.parametrize("name", FOUND)
def test_subnets_are_the_modules_with_smaller_kernels(name):
    model = FOUND[name][0].eval()
    found = derive(model, (image(8),), elastic="kernel")
    assert found.report.built_from == "modules"
    space = found.family.space
    supernet = Supernet(found.family).eval()
    supernet.network.load_state_dict(found.state_dict)
    subnet = space.subnet({**space.largest(), "layers.2.kernel": 3})
    network: Any = supernet.extract(subnet)
    assert network.model.layers[2].kernel_size == (3, 3)
    masked = copy.deepcopy(model)
    weight = masked.layers[2].weight
    with torch.no_grad():
        margin = (weight.shape[-1] - 3) // 2
        inside = weight[:, :, margin:-margin, margin:-margin].clone()
        weight.zero_()[:, :, margin:-margin, margin:-margin] = inside
        x = torch.randn(3, 3, 8, 8)
        torch.testing.assert_close(network(x), masked(x))
        assert not torch.allclose(network(x), model(x))
    full, small = supernet.count(space.largest()), supernet.count(subnet)
    assert full.params - small.params == weight.numel() - inside.numel()
    assert small.params == sum(parameter.numel() for parameter in network.parameters())


def test_without_asking_kernels_stay():
    found = derive(around(depthwise(16, 5), conv(16, 16)).eval(), (image(8),))
    assert {d.kind for d in found.report.dimensions} == {"width"}
    assert any("layers.2.weight[2]" in each.where for each in found.report.fixed)
