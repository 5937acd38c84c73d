"""Layers that read a pruned axis are fitted to what the full network computes there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.compress import repair_layers
from nas.elastic import Elastic, Family, Fixed, Layout, Part, Supernet
from nas.space import Dimension, SearchSpace, Subnet

CLASSES, FULL = 3, 8


class TwoLayers(Family):
    """A convolution whose outputs are elastic, BatchNorm, and one that reads them."""

    name = "two-layers"

    def __init__(self, kernel: int = 3, stride: int = 1, bias: bool = True) -> None:
        self.options = {}
        self.space = SearchSpace(
            self.name, [Dimension("width", (2, 4, FULL)), Dimension("out", (2, CLASSES))]
        )
        wide, out = Elastic("width"), Elastic("out")
        norm = ("weight", "bias", "running_mean", "running_var")
        window = (Fixed(kernel), Fixed(kernel))
        self._parts = [
            Part("first", lambda c: nn.Conv2d(3, int(c["width"]), 3, padding=1), {"weight": Layout((wide, Fixed(3), Fixed(3), Fixed(3))), "bias": Layout((wide,))}),
            Part("norm", lambda c: nn.BatchNorm2d(int(c["width"])), {name: Layout((wide,)) for name in norm}),
            Part(
                "second", lambda c: nn.Conv2d(int(c["width"]), int(c["out"]), kernel, stride, bias=bias),
                {"weight": Layout((out, wide, *window)), **({"bias": Layout((out,))} if bias else {})},
            ),
        ]  # fmt: skip

    @property
    def parts(self) -> list[Part]:
        return self._parts

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        first, norm, second = modules.values()
        return nn.Sequential(OrderedDict(first=first, norm=norm, act=nn.ReLU(), second=second))

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> Tensor:
        return torch.randn(batch_size, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def supernet_of(**options: Any) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(TwoLayers(**options)).eval()
    norm: Any = supernet.network.get_submodule("norm")
    with torch.no_grad():
        norm(torch.randn(64, FULL, 4, 4))
    return supernet


def output_error(supernet: Supernet, network: nn.Module, subnet: Subnet, x: Tensor) -> float:
    """Return the error of a subnet's outputs beside the full network's, as a share; statistics are the batch's."""
    with torch.no_grad():
        full = supernet.extract(supernet.space.largest())
        outputs = []
        for module in (full, network):
            module.norm.train()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            outputs.append(module(x))
        truth, given = outputs[0][:, : outputs[1].shape[1]], outputs[1]
    return float((given - truth).square().sum() / truth.square().sum())


@pytest.mark.parametrize("options", [{}, {"kernel": 1}, {"stride": 2, "bias": False}])
@pytest.mark.parametrize("out", [2, CLASSES])
def test_redundant_channels_are_made_up_for(options: dict[str, Any], out: int) -> None:
    supernet = supernet_of(**options)
    with torch.no_grad():  # the last four channels are the first four again
        for name in ("first.weight", "first.bias", "norm.weight", "norm.bias"):
            tensor = supernet.network.state_dict()[name]
            tensor[4:] = tensor[:4]
    subnet = supernet.space.subnet({"width": 4, "out": out})
    network, x = supernet.extract(subnet), supernet.family.example_input(subnet, 32)
    assert output_error(supernet, supernet.extract(subnet), subnet, x) > 0.05
    left = repair_layers(supernet, subnet, network, x, ridge=1e-7)
    assert list(left) == ["second"] and left["second"] < 1e-5
    assert not any(module.training for module in network.modules())
    unseen = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert output_error(supernet, network, subnet, unseen) < 1e-3


def test_what_cannot_be_made_up_for_gets_smaller() -> None:
    supernet = supernet_of()
    subnet = supernet.space.subnet({"width": 2, "out": CLASSES})
    network, x = supernet.extract(subnet), supernet.family.example_input(subnet, 32)
    before = output_error(supernet, supernet.extract(subnet), subnet, x)
    left = repair_layers(supernet, subnet, network, x)
    assert 0 < left["second"] < 1
    assert output_error(supernet, network, subnet, x) < before


def test_a_large_ridge_holds_the_weights() -> None:
    supernet = supernet_of()
    subnet = supernet.space.subnet({"width": 4, "out": CLASSES})
    network, x = supernet.extract(subnet), supernet.family.example_input(subnet, 32)
    before = network.state_dict()["second.weight"].clone()
    repair_layers(supernet, subnet, network, x, ridge=1e9)
    torch.testing.assert_close(network.state_dict()["second.weight"], before, atol=1e-4, rtol=1e-4)


def test_the_full_network_and_the_supernet_stay_as_they_are() -> None:
    supernet = supernet_of()
    before = {name: tensor.clone() for name, tensor in supernet.network.state_dict().items()}
    subnet = supernet.space.subnet({"width": 4, "out": 2})
    x = supernet.family.example_input(subnet, 8)
    repair_layers(supernet, subnet, supernet.extract(subnet), x)
    largest = supernet.space.largest()
    assert repair_layers(supernet, largest, supernet.extract(largest), x) == {}
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.network.state_dict().items())
