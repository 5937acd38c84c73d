"""What every training's state shares: its moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.train.state import MovingAverage


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)) for _ in range(2))
    second[1](torch.randn(4, 8, 2, 2))
    first.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return first, second


@pytest.mark.parametrize("use_buffers", [False, True])
def test_an_average_moves_as_tensor_by_tensor_to_the_bit(use_buffers: bool) -> None:
    first, now = networks()
    ema = MovingAverage(first, use_buffers=use_buffers)
    kept = ema.module
    wanted = [
        a.clone().lerp_(b.detach(), 1 - 0.9) for a, b in zip(kept.parameters(), now.parameters(), strict=True)
    ]
    before = [each.clone() for each in now.parameters()]
    ema.update(now, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), wanted, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(now.parameters(), before, strict=True))
    assert not any(each.requires_grad for each in kept.parameters())
    assert not kept.training
    means, tracked = (
        [each.get_buffer(f"1.{name}") for each in (first, now, kept)]
        for name in ("running_mean", "num_batches_tracked")
    )
    assert torch.equal(means[2], means[0].lerp(means[1], 1 - 0.9) if use_buffers else means[1])
    assert tracked[2] == 1


def test_the_network_that_is_averaged_stays_as_it_is() -> None:
    first, now = networks()
    before = [each.clone() for each in first.parameters()]
    MovingAverage(first).update(now, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), before, strict=True))
    assert first.training
    assert all(each.requires_grad for each in first.parameters())
