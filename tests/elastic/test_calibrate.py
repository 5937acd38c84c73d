"""Recalibrated statistics are those of the given batches, layer after layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import calibrate, correct_statistics


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, momentum=0.3),
        nn.Dropout(0.5),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
    )
    return network.train()


def _batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 3, 8, 8, generator=generator) * size for size in (4, 6, 2)]


def _statistics(activations: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    means = torch.stack([x.mean((0, 2, 3)) for x in activations])
    variances = torch.stack([x.var((0, 2, 3)) for x in activations])
    return means.mean(0), variances.mean(0)


@torch.no_grad()
def test_statistics_are_the_average_over_batches() -> None:
    network, batches = _network(), _batches()
    calibrate(network, iter(batches))
    conv1, norm1, _, conv2, norm2 = network
    assert isinstance(norm1, nn.BatchNorm2d)
    assert isinstance(norm2, nn.BatchNorm2d)
    first = [conv1(x) for x in batches]
    # While it is calibrated a norm uses the batch's own statistics, and dropout is off.
    scale, shift = norm1.weight.view(-1, 1, 1), norm1.bias.view(-1, 1, 1)
    normed = [
        (x - x.mean((0, 2, 3), keepdim=True))
        / (x.var((0, 2, 3), correction=0, keepdim=True) + norm1.eps).sqrt()
        for x in first
    ]
    second = [conv2(x * scale + shift) for x in normed]
    for norm, activations in ((norm1, first), (norm2, second)):
        mean, variance = _statistics(activations)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-4, atol=1e-5)


def test_the_module_is_left_in_evaluation_mode_with_its_momentum() -> None:
    network = _network()
    calibrate(network, _batches())
    assert not any(module.training for module in network.modules())
    assert [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)] == [0.3, 0.1]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_calibrating_twice_gives_the_same() -> None:
    network = _network()
    calibrate(network, _batches())
    first = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, _batches())
    assert all(torch.equal(tensor, first[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("batches", [[], _batches()])
def test_weights_do_not_change_and_without_batches_nothing_does(batches: list[torch.Tensor]) -> None:
    network = _network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, batches)
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name, _ in network.named_parameters())
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert len(changed) == (6 if batches else 0)
    assert not network.training


def test_a_network_without_batch_norm_reads_no_batch() -> None:
    def fail() -> Iterator[torch.Tensor]:
        raise AssertionError("a batch was asked for")
        yield

    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False)
    )
    calibrate(network, fail())
    assert not network.training


def test_a_failing_batch_leaves_momentum_and_mode_in_order() -> None:
    network = _network()
    with pytest.raises(RuntimeError):
        calibrate(network, [torch.zeros(2, 7, 8, 8)])
    assert [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)] == [0.3, 0.1]
    assert not any(module.training for module in network.modules())


@torch.no_grad()
def test_errors_seen_in_another_network_are_corrected() -> None:
    """Where the stand-in images err in both networks alike, the corrected statistics are the true ones."""
    module = nn.Sequential(nn.BatchNorm2d(3))
    norm = module[0]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    truth_mean, truth_var = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([4.0, 1.0, 0.25])
    error_mean, error_var = torch.tensor([0.1, 0.0, -0.2]), torch.tensor([1.5, 1.0, 0.5])
    norm.running_mean.copy_(truth_mean + 2 * error_mean)  # twice the deviation, twice the error
    norm.running_var.copy_(truth_var * error_var)
    wide_var = truth_var / 4
    known = {"0.running_mean": torch.zeros(3), "0.running_var": wide_var}
    estimated = {"0.running_mean": error_mean, "0.running_var": wide_var * error_var}
    correct_statistics(module, known, estimated)
    np.testing.assert_allclose(norm.running_mean, truth_mean, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, truth_var, atol=1e-6)
    # A channel that is dead under the stand-in images moves nothing beyond bounds.
    estimated["0.running_var"] = torch.zeros(3)
    before = norm.running_var.clone()
    correct_statistics(module, known, estimated)
    assert (norm.running_var <= 16 * before).all() and norm.running_mean.isfinite().all()
