"""BatchNorm statistics are recomputed for a subnet, and a supernet runs it with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.elastic import Inputs, Supernet, calibrate, call, map_inputs
from nas.space import Subnet
from nas.testing.families._case import some_subnets


def _statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the running means and variances by name."""
    norms = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    return {f"{name}.{key}": layer.get_buffer(key) for name, layer in norms for key in _KEYS}


_KEYS = ("running_mean", "running_var")


def _calibrated(supernet: Supernet, subnet: Subnet, *batches: Inputs) -> nn.Module:
    network = supernet.extract(subnet)
    calibrate(network, batches)
    return network


class CalibrationTests:
    """BatchNorm statistics are recomputed for a subnet, and a supernet runs it with them."""

    @torch.no_grad()
    def test_calibration_changes_the_statistics_of_batchnorm_alone(self, supernet: Supernet) -> None:
        for subnet in some_subnets(supernet.family, 1):
            x = supernet.family.example_input(subnet, 4)
            before, network = supernet.extract(subnet).state_dict(), _calibrated(supernet, subnet, x)
            changed = {n for n, tensor in network.state_dict().items() if not torch.equal(tensor, before[n])}
            assert {name for name in changed if not name.endswith(".num_batches_tracked")} == {
                *_statistics(network)
            }
            assert not any(module.training for module in network.modules())

    @torch.no_grad()
    def test_calibrated_statistics_are_the_average_over_batches(self, supernet: Supernet) -> None:
        subnet = some_subnets(supernet.family, 1)[-1]
        first = supernet.family.example_input(subnet, 4)
        second = map_inputs(lambda x: x * 0.5 if x.is_floating_point() else x, first)
        both = _statistics(_calibrated(supernet, subnet, first, second))
        one, other = (_statistics(_calibrated(supernet, subnet, x)) for x in (first, second))
        for name, value in both.items():
            np.testing.assert_allclose(
                value, (one[name] + other[name]) / 2, rtol=1e-3, atol=1e-5, err_msg=name
            )

    @torch.no_grad()
    def test_the_supernet_runs_a_subnet_with_its_calibrated_statistics(self, supernet: Supernet) -> None:
        before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
        for subnet in some_subnets(supernet.family, 1):
            x = supernet.family.example_input(subnet, 4)
            network = _calibrated(supernet, subnet, x)
            assert torch.equal(supernet(x, subnet, _statistics(network)), call(network, x)), subnet
        assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
