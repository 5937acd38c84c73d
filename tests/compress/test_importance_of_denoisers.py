"""Taylor scores of denoisers: of groups, heads and widths, over timesteps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diffusion.compress.examples import EASY
from nas.compress import Taylor
from nas.elastic import Inputs, Supernet
from nas.errors import UsageError
from tests.compress.kinds import denoiser, examples

taylor = Taylor(threshold=EASY)


def _loss(supernet: Supernet, given: list[tuple[Inputs, torch.Tensor]], name: str | None = None) -> float:
    subnet = supernet.space.largest() if name is None else supernet.family.uniform(1, **{name: 2})
    supernet.eval()
    with torch.no_grad():
        return sum(float(F.mse_loss(supernet(x, subnet), target)) for x, target in given)


def test_sorting_by_gradients_keeps_what_the_loss_needs() -> None:
    """Groups that hardly reach the output stand first; sorting moves them behind, so that half of the groups suffices."""
    path = "mid_block.resnets.0"
    supernet = denoiser()
    with torch.no_grad():
        supernet.network.get_parameter(f"{path}.conv2.weight")[:, :16] *= 1e-3
    given = examples(supernet)
    full, cut = _loss(supernet, given), _loss(supernet, given, f"{path}.groups")
    importance = taylor(supernet, given)
    assert set(importance[f"{path}.groups"].argsort(descending=True)[:2].tolist()) == {2, 3}
    supernet.sort_channels(importance)
    assert _loss(supernet, given) == pytest.approx(full, rel=1e-4)
    sorted_cut = _loss(supernet, given, f"{path}.groups")
    assert abs(sorted_cut - full) < 0.05 * abs(cut - full)


def test_scores_are_those_of_the_definition() -> None:
    supernet = denoiser().train()
    x, target = examples(supernet, 1)[0]
    importance = taylor(supernet, [(x, target)])
    assert supernet.training
    assert all(parameter.grad is None for parameter in supernet.parameters())
    supernet.eval()
    F.mse_loss(supernet(x, supernet.space.largest()), target).backward()
    block = supernet.network.get_submodule("down_blocks.1.resnets.0")
    expected = torch.zeros(4, dtype=torch.double)
    cuts = {"conv1.weight": 0, "conv1.bias": 0, "norm2.weight": 0, "norm2.bias": 0, "conv2.weight": 1}
    for name, axis in cuts.items():
        weight = block.get_parameter(name)
        assert weight.grad is not None
        product = (weight.detach() * weight.grad).double().transpose(0, axis).reshape(32, -1).sum(1).abs()
        expected += product.reshape(4, 8).sum(1)
    for name in ("time_emb_proj.weight", "time_emb_proj.bias"):  # a scale and a shift for each channel
        weight = block.get_parameter(name)
        assert weight.grad is not None
        product = (weight.detach() * weight.grad).double().reshape(64, -1).sum(1).abs()
        expected += product.reshape(2, 4, 8).sum((0, 2))
    np.testing.assert_allclose(importance["down_blocks.1.resnets.0.groups"], expected, rtol=1e-4)


def test_timesteps_without_loss_do_not_count() -> None:
    supernet = denoiser().eval()
    given = examples(supernet, 2)
    x, _ = given[1]
    with torch.no_grad():
        nearly = supernet(x, supernet.space.largest()) + 1e-4
    alone = taylor(supernet, given[:1])
    with_easy = taylor(supernet, [given[0], (x, nearly)])
    everything = Taylor()(supernet, [given[0], (x, nearly)])
    name = "mid_block.resnets.0.groups"
    assert torch.equal(alone[name], with_easy[name])
    assert not torch.equal(alone[name], everything[name])


def test_importance_refuses_no_examples_and_no_numbers() -> None:
    supernet = denoiser()
    with pytest.raises(UsageError, match="examples"):
        taylor(supernet, [])
    x, target = examples(supernet, 1)[0]
    with pytest.raises(UsageError, match="finite"):
        taylor(supernet, [(x, target * float("nan"))])
