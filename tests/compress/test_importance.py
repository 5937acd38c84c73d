"""Ways to score the entries of elastic axes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.compress import (
    IMPORTANCES,
    L1,
    BatchNormScale,
    Importance,
    OutputChange,
    Taylor,
    get_importance,
)
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.families.mobilenetv3 import mbv3_small_image

AXIS = "stage2.block1.expanded"
BLOCK = "stages.2.1"


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(mbv3_small_image(width=0.5))


def examples(supernet: Supernet, count: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(4, 3, 32, 32, generator=generator), torch.arange(4) + number) for number in range(count)
    ]


@pytest.mark.parametrize("importance", [L1(), BatchNormScale(), Taylor(F.cross_entropy), OutputChange()])
def test_what_hardly_reaches_the_output_is_left_out_first(supernet: Supernet, importance: Importance) -> None:
    block = supernet.network.get_submodule(BLOCK)
    count = len(block.get_parameter("expand.norm.weight"))
    with torch.no_grad():
        for name in (
            "expand.norm.weight",
            "depthwise.norm.weight",
            "expand.norm.bias",
            "depthwise.norm.bias",
        ):
            block.get_parameter(name)[: count // 2] *= 1e-4
        block.get_parameter("expand.conv.weight")[: count // 2] *= 1e-4
        block.get_parameter("project.conv.weight")[:, : count // 2] *= 1e-4
    scores = importance(supernet, examples(supernet))[AXIS]
    assert scores.shape == (count,) and (scores >= 0).all()
    weak = {*range(count // 2)}
    assert {*scores.argsort()[: count // 2].tolist()} == weak
    x = examples(supernet)[0][0]
    supernet.eval()
    largest = supernet.space.largest()
    with torch.no_grad():
        before = supernet(x, largest)
        supernet.sort_channels(importance(supernet, examples(supernet)))
        torch.testing.assert_close(supernet(x, largest), before, rtol=1e-3, atol=1e-5)


def test_taylor_scores_are_those_of_the_definition(supernet: Supernet) -> None:
    x, target = examples(supernet, 1)[0]
    scores = Taylor(F.cross_entropy)(supernet.train(), [(x, target)])[AXIS]
    assert supernet.training and all(parameter.grad is None for parameter in supernet.parameters())
    supernet.eval()
    F.cross_entropy(supernet(x, supernet.space.largest()), target).backward()
    block = supernet.network.get_submodule(BLOCK)
    expected = torch.zeros(len(scores), dtype=torch.double)
    entries = {
        "expand.conv.weight": 0, "expand.norm.weight": 0, "expand.norm.bias": 0, "depthwise.conv.weight": 0,
        "depthwise.norm.weight": 0, "depthwise.norm.bias": 0, "project.conv.weight": 1,
        "squeeze.reduce.weight": 1, "squeeze.expand.weight": 0, "squeeze.expand.bias": 0,
    }  # fmt: skip
    for name, axis in entries.items():
        weight = block.get_parameter(name)
        assert weight.grad is not None
        product = (weight.detach() * weight.grad).double().transpose(0, axis)
        expected += product.reshape(len(product), -1).sum(1).abs()
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_frozen_networks_are_scored_and_stay_frozen(supernet: Supernet) -> None:
    supernet.requires_grad_(False)
    scores = Taylor(F.cross_entropy)(supernet, examples(supernet))
    assert float(scores[AXIS].sum()) > 0
    assert not any(parameter.requires_grad for parameter in supernet.parameters())


def test_examples_without_loss_do_not_count_where_a_threshold_says_so(supernet: Supernet) -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output * target).square().mean()

    x = examples(supernet)[0][0]
    hard, easy = (x, torch.ones(4, 10)), (x.flip(0), torch.full((4, 10), 1e-2))
    alone, both = (
        Taylor(loss, threshold=0.05)(supernet, [hard]),
        Taylor(loss, threshold=0.05)(supernet, [hard, easy]),
    )
    everything = Taylor(loss)(supernet, [hard, easy])
    assert alone[AXIS].equal(both[AXIS]) and not alone[AXIS].equal(everything[AXIS])


def test_the_output_needs_no_targets_and_one_seed_gives_one_answer(supernet: Supernet) -> None:
    first, second, other = (
        OutputChange(seed=seed)(supernet, [(x, torch.full((4,), target)) for x, _ in examples(supernet)])
        for seed, target in ((0, 0), (0, 7), (1, 0))
    )
    assert all(first[name].equal(second[name]) for name in first)
    assert not first[AXIS].equal(other[AXIS])


def test_no_examples_and_no_numbers_are_refused(supernet: Supernet) -> None:
    with pytest.raises(UsageError, match="examples"):
        Taylor()(supernet, [])
    x, _ = examples(supernet)[0]
    with pytest.raises(UsageError, match="finite"):
        Taylor()(supernet, [(x, torch.full((4, 10), float("nan")))])


def test_without_batch_norm_there_is_no_scale() -> None:
    generator = Supernet(get_family("anycost", resolution=32))
    with pytest.raises(UsageError, match="BatchNorm"):
        BatchNormScale()(generator)


def test_names_find_ways_and_a_way_of_ones_own_is_a_subclass(supernet: Supernet) -> None:
    assert [type(get_importance(kind.name)) for kind in IMPORTANCES] == [*IMPORTANCES]
    with pytest.raises(UsageError, match="choose from l1"):
        get_importance("nosuch")

    class Last(Importance):
        name = "last"

        def __call__(self, supernet: Supernet, examples: Iterable[object] = ()) -> dict[str, torch.Tensor]:
            scores = L1()(supernet)
            return {name: torch.arange(len(score)).double() for name, score in scores.items()}

    first = supernet.network.get_parameter(f"{BLOCK}.expand.conv.weight").detach().clone()
    supernet.sort_channels(Last()(supernet))
    assert supernet.network.get_parameter(f"{BLOCK}.expand.conv.weight").equal(first.flip(0))
    assert isinstance(supernet, nn.Module)
