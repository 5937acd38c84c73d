"""Elastic kernels: the centre of the full kernel, transformed on the way where there are matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.elastic import Chosen, Kernel, Supernet, crop_centre
from tests.conformance.families import randomise
from tests.conformance.models import Widths

CHAIN = Kernel(Chosen("k"), {(7, 5): "a", (5, 3): "b"})


@pytest.mark.parametrize(
    ("kernel", "size", "full", "steps"),
    [
        (CHAIN, 7, 7, []),
        (CHAIN, 5, 7, [(5, "a")]),
        (CHAIN, 3, 7, [(5, "a"), (3, "b")]),
        (CHAIN, 3, 5, [(3, "b")]),
        (Kernel(Chosen("k")), 3, 7, [(3, None)]),
        (Kernel(Chosen("k"), {(7, 5): "a"}), 3, 7, [(5, "a"), (3, None)]),
    ],
)
def test_steps_lead_from_the_full_kernel_to_the_size(
    kernel: Kernel, size: int, full: int, steps: list[tuple[int, str | None]]
) -> None:
    assert kernel.steps(size, full) == steps


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_crop_takes_the_centre_of_every_kernel_axis(axes: int) -> None:
    weight = torch.arange(2 * 3 * 5**axes).reshape(2, 3, *[5] * axes)
    cropped = crop_centre(weight, 3)
    assert cropped.shape == (2, 3, *[3] * axes)
    assert torch.equal(cropped, weight[(..., *[slice(1, 4)] * axes)])


def test_crop_of_the_same_size_is_the_weight() -> None:
    weight = torch.randn(2, 3, 5, 5)
    assert torch.equal(crop_centre(weight, 5), weight)


def _naive(weight: torch.Tensor, size: int, matrix: torch.Tensor) -> torch.Tensor:
    """Once-for-all's transform, one channel at a time: the centre as a row vector times the transposed matrix."""
    start = (weight.shape[-1] - size) // 2
    result = torch.empty(*weight.shape[:2], size, size)
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            centre = weight[o, i, start : start + size, start : start + size].reshape(-1)
            result[o, i] = torch.stack([(matrix[row] * centre).sum() for row in range(size**2)]).reshape(
                size, size
            )
    return result


@torch.no_grad()
def test_a_small_kernel_is_the_chain_of_transformed_centres() -> None:
    supernet = Supernet(Widths())
    randomise(supernet)
    space, block = supernet.space, supernet.network.get_submodule("block1.filter")
    weight, m75, m53 = (block.get_parameter(n) for n in ("weight", "matrix_7to5", "matrix_5to3"))
    middle = _naive(weight, 5, m75)
    expected = {7: weight, 5: middle, 3: _naive(middle, 3, m53)}
    for kernel, full in expected.items():
        subnet = space.subnet(dict(space.largest()) | {"block1.kernel": kernel, "block1.expand": 2.0})
        given = supernet.slices(subnet)["block1.filter.weight"]
        np.testing.assert_allclose(given, full[: len(given)], rtol=1e-5, atol=1e-6)
        assert len(given) == 16


def test_matrices_start_as_the_identity_and_belong_to_the_supernet_alone() -> None:
    supernet = Supernet(Widths())
    names = [name for name, _ in supernet.named_parameters() if "matrix" in name]
    assert len(names) == 4
    for name in names:
        matrix = supernet.get_parameter(name)
        assert torch.equal(matrix, torch.eye(len(matrix)))
    assert not any("matrix" in name for name in supernet.extract(supernet.space.smallest()).state_dict())
