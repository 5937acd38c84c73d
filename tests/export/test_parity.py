"""The parity check on plain functions: it must catch what it is there for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nas.export import ParityError, ParityRow
from nas.export.parity import BATCH_SIZES, compare, relative_delta, require_parity, split_batches


def references(sizes: tuple[int, ...] = (1, 3)) -> list[tuple[Tensor, Tensor]]:
    batches = [torch.randn(size, 4, generator=torch.Generator().manual_seed(size)) for size in sizes]
    return [(x, 2 * x) for x in batches]


def test_delta_is_relative_to_the_largest_output() -> None:
    reference = torch.tensor([[0.0, -4.0]])
    assert relative_delta(reference + torch.tensor([[0.0, 0.4]]), reference) == pytest.approx(0.1)
    assert relative_delta(reference, reference) == 0.0
    assert relative_delta(torch.zeros(1, 2), torch.zeros(1, 2)) == 0.0


@pytest.mark.parametrize(
    "output", [torch.full((1, 2), float("nan")), torch.zeros(1, 3), torch.full((1, 2), float("inf"))]
)
def test_what_is_not_finite_or_of_another_shape_is_infinitely_far(output: Tensor) -> None:
    assert relative_delta(output, torch.ones(1, 2)) == float("inf")
    assert relative_delta(torch.ones(1, 2), torch.full((1, 2), float("nan"))) == float("inf")


def test_the_worst_batch_decides() -> None:
    def good_for_one(x: Tensor) -> Tensor:
        return 2 * x if len(x) == 1 else 2.2 * x

    row = compare("onnx", good_for_one, references(), tolerance=1e-4, images="noise")
    assert row.delta == pytest.approx(0.1, rel=1e-4)
    assert row.batch_sizes == (1, 3)
    assert not row.ok
    with pytest.raises(ParityError, match="the onnx export differs") as caught:
        require_parity([row])
    assert caught.value.rows == (row,)


def test_a_frozen_batch_is_one_sentence() -> None:
    def frozen(x: Tensor) -> Tensor:
        if len(x) != 1:
            raise RuntimeError("Got invalid dimensions\nat a long trace")
        return 2 * x

    with pytest.raises(ParityError, match=r"does not run on a batch of 3 \(Got invalid dimensions\)"):
        compare("onnx", frozen, references(), tolerance=1e-4, images="noise")


def test_a_row_survives_the_manifest() -> None:
    row = ParityRow("pt2", 1e-7, 1e-5, (1, 3), "noise")
    assert ParityRow.from_dict(row.to_dict()) == row
    require_parity([row])
    assert not ParityRow("pt2", float("nan"), 1e-5, (1,), "noise").ok


@pytest.mark.parametrize("count", [1, 5, 100])
def test_batches_have_their_sizes_however_few_images_there_are(count: int) -> None:
    images = torch.arange(count)[:, None]
    batches = split_batches(images)
    assert tuple(map(len, batches)) == BATCH_SIZES
    assert torch.cat(batches)[: min(count, sum(BATCH_SIZES))].equal(images[: sum(BATCH_SIZES)])
