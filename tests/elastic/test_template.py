"""Subnets of a network that another library defines: resized blocks in copies of its containers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nas.elastic import Elastic, Fixed, Layout, Repeat, assembled, resized


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.narrow = nn.Linear(8, 3)
        self.table = nn.Parameter(torch.zeros(2, 3))
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)])
        self.last = nn.Linear(2, 2)
        self.act = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = self.act(block(x))
        return x if self.last is None else self.last(x)


INNER = Repeat(Elastic("groups"), 2)
LAYOUTS = {
    "widen.weight": Layout((INNER, Fixed(3), Fixed(3), Fixed(3))),
    "widen.bias": Layout((INNER,)),
    "norm.weight": Layout((INNER,)),
    "norm.bias": Layout((INNER,)),
    "narrow.weight": Layout((Fixed(3), INNER)),
}


def test_resized_tells_layers_their_sizes_and_initialises_them() -> None:
    template = Block()
    with torch.no_grad():
        template.widen.weight.fill_(float("nan"))
    small: Any = resized(template, LAYOUTS, {"groups": 3})
    assert small.widen.out_channels == 6
    assert small.norm.num_channels == 6
    assert small.narrow.in_features == 6
    assert small.widen.weight.shape == (6, 3, 3, 3)
    assert template.widen.weight.shape == (8, 3, 3, 3)
    assert all(parameter.isfinite().all() for parameter in small.parameters())
    assert small.table.std() > 0
    assert small.scale.tolist() == [1.0, 2.0, 3.0]
    assert small.scale is not template.scale


def test_resized_stays_on_the_default_device() -> None:
    with torch.device("meta"):
        assert all(p.is_meta for p in resized(Block(), LAYOUTS, {"groups": 1}).parameters())
        without_values = Block()
    with pytest.raises(ValueError, match="scale"):
        resized(without_values, LAYOUTS, {"groups": 1})


def test_assembled_leaves_modules_out_and_keeps_names() -> None:
    template = Net()
    parts = {"blocks.0": nn.Linear(2, 2), "blocks.2": nn.Linear(2, 2)}
    net = assembled(template, parts, {"blocks.1": None, "last": None})
    assert isinstance(net, Net)
    assert [*net.state_dict()] == ["blocks.0.weight", "blocks.0.bias", "blocks.2.weight", "blocks.2.bias"]
    x = torch.ones(1, 2)
    assert torch.equal(net.eval()(x), parts["blocks.2"](parts["blocks.0"](x)))
    assert template.training
    assert template.act.training
    assert not net.act.training
    stand_in = assembled(template, parts, {"blocks.1": nn.Identity(), "last": None})
    assert torch.equal(stand_in.eval()(x), net(x))


def test_assembled_refuses_tensors_of_no_part() -> None:
    with pytest.raises(ValueError, match=r"last\.weight"):
        assembled(Net(), {}, {"blocks": None})
