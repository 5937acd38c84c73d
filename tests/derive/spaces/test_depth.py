"""Blocks that add to their own input are found; those that only look like it are not."""

from __future__ import annotations

import torch
from torch import nn

from nas.derive.spaces.depth import residual_blocks
from tests.derive.nets import Net, find, linear, vector


class Residual(nn.Module):
    """x + f(x), with a norm behind it where `post` is set."""

    def __init__(self, post: bool = False) -> None:
        super().__init__()
        self.up, self.down = linear(8, 16), linear(16, 8)
        self.norm = nn.LayerNorm(8) if post else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return self.norm(x + self.down(self.up(x).relu()))


class Projected(Residual):
    """The shortcut is a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return self.shortcut(x) + self.down(self.up(x).relu())


class Bent(Residual):
    """The sum is inside of another layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return self.down((self.up(x) + 1).relu())


def _paths(*blocks: nn.Module) -> list[str]:
    model = Net(
        lambda x, stem, body, head: head(body(stem(x))), linear(6, 8), nn.Sequential(*blocks), linear(8, 3)
    )
    _, labels, _ = find(model, vector(), kinds=())
    return [block.path.removeprefix("model.layers.1.") for block in residual_blocks(labels)]


def test_residual_blocks_are_found_before_and_behind_norms():
    assert _paths(Residual(), Residual(post=True)) == ["0", "1"]


def test_what_does_not_add_to_its_own_input_is_not():
    assert _paths(Projected(), Bent(), linear(8, 8)) == []


def test_of_nested_blocks_the_smallest_count():
    assert _paths(nn.Sequential(Residual(), Residual())) == ["0.0", "0.1"]


def test_a_module_that_runs_twice_is_no_block():
    shared = Residual()
    assert _paths(shared, shared) == []


def test_a_block_whose_weights_are_read_from_outside_stays():
    """As DiT's first block, of which the head of the network has an embedding."""
    model = Net(lambda x, a, b, c: c(b(a(x)) + b.down.bias), linear(6, 8), Residual(), linear(8, 3))
    _, labels, _ = find(model, vector(), kinds=())
    assert residual_blocks(labels) == []
