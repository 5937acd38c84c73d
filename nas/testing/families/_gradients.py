"""Gradients and statistics reach exactly the slices that ran, and nothing else of the supernet changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from nas.elastic import Inputs, Layout, Supernet, call, crop_centre
from nas.elastic._layout import cut
from nas.space import Subnet
from nas.testing.families._case import some_subnets


def _indices(
    supernet: Supernet, subnet: Subnet, static: torch.nn.Module
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor of the subnet's `static` network with the flat indices of its entries in the supernet."""
    space, state = supernet.space, supernet.network.state_dict()
    layouts: dict[str, Layout] = {
        f"{part.name}.{name}": layout
        for part in supernet.family.parts
        if part.is_active(subnet)
        for name, layout in part.layouts.items()
    }
    for name in static.state_dict():
        index = torch.arange(state[name].numel()).reshape(state[name].shape)
        if (layout := layouts.get(name)) is not None:
            index = cut(index, layout.cuts(subnet, space.largest()))
            if layout.kernel is not None:
                index = crop_centre(index, layout.kernel.size(subnet))
        yield name, index.flatten()


def _used_matrices(supernet: Supernet, subnet: Subnet) -> set[str]:
    """The names of the kernel matrices on the way to the subnet's kernels."""
    used = set()
    for part in supernet.family.parts:
        for name, layout in part.layouts.items():
            if part.is_active(subnet) and layout.kernel is not None:
                full = supernet.network.get_parameter(f"{part.name}.{name}").shape[-1]
                prefix = f"{part.name}.{name.rpartition('.')[0]}"
                steps = layout.kernel.steps(layout.kernel.size(subnet), full)
                used |= {f"{prefix}.{matrix}" for _, matrix in steps if matrix is not None}
    return used


def _backward(network: torch.nn.Module, x: Inputs, subnet: Subnet | None = None) -> None:
    torch.manual_seed(0)
    output = call(network, x) if subnet is None else network(x, subnet)
    # A fixed random direction, so that no gradient vanishes by symmetry.
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    (output * direction).sum().backward()


def _plain_matrices(supernet: Supernet) -> set[str]:
    """Make every kernel matrix the identity, so that a smaller kernel is a plain slice; return their names."""
    names = {f"{part.name}.{name}" for part in supernet.family.parts for name in part.matrices}
    with torch.no_grad():
        for name in names:
            matrix = supernet.network.get_parameter(name)
            matrix.copy_(torch.eye(len(matrix)))
    return names


class Gradients:
    """Gradients and statistics reach exactly the slices that ran, and nothing else of the supernet changes."""

    def test_gradients_are_those_of_the_extracted_network_and_zero_elsewhere(self, fresh: Supernet) -> None:
        matrices = _plain_matrices(fresh)
        parameters = dict(fresh.network.named_parameters())
        for subnet in some_subnets(fresh.family, 2):
            fresh.train().zero_grad()
            static = fresh.extract(subnet).train()
            x = fresh.family.example_input(subnet, 4)
            _backward(static, x)
            _backward(fresh, x, subnet)
            expected = {
                name: torch.zeros(p.numel()) for name, p in parameters.items() if name not in matrices
            }
            static_grads = {name: p.grad for name, p in static.named_parameters()}
            indices = dict(_indices(fresh, subnet, static))
            for name, index in indices.items():
                if (grad := static_grads.get(name)) is not None:
                    expected[name][index] = grad.flatten()
            for name, grad in expected.items():
                own = parameters[name].grad
                given = torch.zeros_like(grad) if own is None else own.flatten()
                np.testing.assert_allclose(
                    given, grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max() + 1e-3), err_msg=name
                )
                outside = torch.ones(len(grad), dtype=torch.bool)
                outside[indices.get(name, [])] = False
                assert not given[outside].any(), f"{name} has a gradient outside its slice"

    def test_kernel_matrices_get_gradients_when_they_are_used(self, fresh: Supernet) -> None:
        matrices = {f"{part.name}.{name}" for part in fresh.family.parts for name in part.matrices}
        for subnet in some_subnets(fresh.family, 2):
            fresh.train().zero_grad()
            _backward(fresh, fresh.family.example_input(subnet, 4), subnet)
            grads = {name: fresh.network.get_parameter(name).grad for name in matrices}
            reached = {name for name, grad in grads.items() if grad is not None and grad.any()}
            assert reached == _used_matrices(fresh, subnet)

    def test_gradients_of_several_subnets_add_up(self, fresh: Supernet) -> None:
        """The sandwich rule runs several subnets before one step of the optimizer."""
        subnets = [fresh.space.largest(), fresh.space.smallest()]
        inputs = [fresh.family.example_input(subnet, 4) for subnet in subnets]
        total = {name: torch.zeros_like(p) for name, p in fresh.named_parameters()}
        for x, subnet in zip(inputs, subnets, strict=True):
            fresh.zero_grad()
            _backward(fresh, x, subnet)
            for name, parameter in fresh.named_parameters():
                if parameter.grad is not None:
                    total[name] += parameter.grad
        fresh.zero_grad()
        for x, subnet in zip(inputs, subnets, strict=True):
            _backward(fresh, x, subnet)
        for name, parameter in fresh.named_parameters():
            given = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            np.testing.assert_allclose(given, total[name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert any(grad.any() for grad in total.values())

    def test_a_training_step_changes_only_the_statistics_of_its_slices(self, fresh: Supernet) -> None:
        for subnet in some_subnets(fresh.family, 2):
            fresh.train()
            static = fresh.extract(subnet).train()
            expected = {name: tensor.clone() for name, tensor in fresh.network.state_dict().items()}
            x = fresh.family.example_input(subnet, 4)
            _backward(static, x)
            _backward(fresh, x, subnet)
            after, static_buffers = fresh.network.state_dict(), dict(static.named_buffers())
            for name, index in _indices(fresh, subnet, static):
                if name in static_buffers:
                    expected[name].view(-1)[index] = static_buffers[name].flatten()
            assert set(after) == set(expected)
            for name, tensor in expected.items():
                assert torch.equal(after[name], tensor), name

    def test_evaluation_changes_nothing(self, fresh: Supernet) -> None:
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        for subnet in some_subnets(fresh.family, 1):
            fresh(fresh.family.example_input(subnet, 2), subnet)
            fresh.extract(subnet)
        assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
        assert all(parameter.is_leaf and parameter.grad is None for parameter in fresh.parameters())

    def test_extracted_network_shares_no_memory(self, fresh: Supernet) -> None:
        subnet = fresh.space.largest()
        static = fresh.extract(subnet)
        with torch.no_grad():
            for tensor in static.state_dict().values():
                tensor.zero_()
        state = fresh.network.state_dict()
        assert all(state[name].any() for name in static.state_dict() if state[name].is_floating_point())
