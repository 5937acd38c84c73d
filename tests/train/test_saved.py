"""What every training's state shares: its moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.train.saved import move_average


def test_an_average_moves_as_tensor_by_tensor_to_the_bit() -> None:
    torch.manual_seed(0)
    kept, now = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 5)) for _ in range(2))
    kept.to(memory_format=torch.channels_last).requires_grad_(False)  # pyright: ignore[reportCallIssue]
    wanted = [
        a.clone().lerp_(b.detach(), 1 - 0.9) for a, b in zip(kept.parameters(), now.parameters(), strict=True)
    ]
    before = [each.clone() for each in now.parameters()]
    move_average(kept.parameters(), now.parameters(), 0.9)
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), wanted, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(now.parameters(), before, strict=True))
    assert not any(each.requires_grad for each in kept.parameters())


def test_averages_of_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="2 averaged weights cannot follow 1"):
        move_average([torch.zeros(1), torch.zeros(1)], [torch.zeros(1)], 0.5)
