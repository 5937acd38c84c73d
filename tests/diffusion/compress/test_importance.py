"""Importance from gradients, and the table of what each choice costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diffusion.compress.importance import taylor_importance
from diffusion.compress.sensitivity import read_sensitivity, sensitivity, write_sensitivity
from diffusion.denoisers.unet import diffusion_unet
from nas.elastic import Inputs, Supernet
from nas.errors import NasError, UsageError
from tests.conformance.diffusion import SD2
from tests.conformance.families import randomise


def _supernet() -> Supernet:
    torch.manual_seed(0)
    family = diffusion_unet(SD2, tokens=5, resnet=(0.5, 1), sampling={"steps": [4, 8]})
    supernet = Supernet(family)
    randomise(supernet)
    return supernet


def _examples(supernet: Supernet, count: int = 3) -> list[tuple[Inputs, torch.Tensor]]:
    inputs = supernet.family.example_input(supernet.space.largest(), 2)
    generator = torch.Generator().manual_seed(1)
    found = []
    for step in range(count):
        x = {**inputs, "timestep": torch.full((2,), 100.0 + 300 * step)}
        found.append((x, torch.randn(2, 4, 8, 8, generator=generator)))
    return found


def _loss(supernet: Supernet, examples: list[tuple[Inputs, torch.Tensor]], name: str | None = None) -> float:
    subnet = supernet.space.largest() if name is None else supernet.family.uniform(1, **{name: 2})  # type: ignore[attr-defined]
    supernet.eval()
    with torch.no_grad():
        return sum(float(F.mse_loss(supernet(x, subnet), target)) for x, target in examples)


def test_sorting_by_gradients_keeps_what_the_loss_needs() -> None:
    """Groups that hardly reach the output stand first; sorting moves them behind, so that half of the groups suffices."""
    path = "mid_block.resnets.0"
    supernet = _supernet()
    with torch.no_grad():
        supernet.network.get_parameter(f"{path}.conv2.weight")[:, :16] *= 1e-3
    examples = _examples(supernet)
    full, cut = _loss(supernet, examples), _loss(supernet, examples, f"{path}.groups")
    importance = taylor_importance(supernet, examples)
    assert set(importance[f"{path}.groups"].argsort(descending=True)[:2].tolist()) == {2, 3}
    supernet.sort_channels(importance)
    assert _loss(supernet, examples) == pytest.approx(full, rel=1e-4)
    sorted_cut = _loss(supernet, examples, f"{path}.groups")
    assert abs(sorted_cut - full) < 0.05 * abs(cut - full)


def test_scores_are_those_of_the_definition() -> None:
    supernet = _supernet().train()
    x, target = _examples(supernet, 1)[0]
    importance = taylor_importance(supernet, [(x, target)])
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
    supernet = _supernet().eval()
    examples = _examples(supernet, 2)
    x, _ = examples[1]
    with torch.no_grad():
        nearly = supernet(x, supernet.space.largest()) + 1e-4
    alone = taylor_importance(supernet, examples[:1])
    with_easy = taylor_importance(supernet, [examples[0], (x, nearly)])
    everything = taylor_importance(supernet, [examples[0], (x, nearly)], threshold=0)
    name = "mid_block.resnets.0.groups"
    assert torch.equal(alone[name], with_easy[name])
    assert not torch.equal(alone[name], everything[name])


def test_importance_refuses_no_examples_and_no_numbers() -> None:
    supernet = _supernet()
    with pytest.raises(UsageError, match="examples"):
        taylor_importance(supernet, [])
    x, target = _examples(supernet, 1)[0]
    with pytest.raises(UsageError, match="finite"):
        taylor_importance(supernet, [(x, target * float("nan"))])


def test_sensitivity_table(tmp_path: Path) -> None:
    supernet = _supernet().train()
    batches = [x for x, _ in _examples(supernet, 2)]
    heard: list[tuple[int, int]] = []
    rows = sensitivity(supernet, batches, progress=lambda done, count: heard.append((done, count)))
    space = supernet.space
    expected = {(d.name, c) for d in space.dimensions if d.name != "steps" for c in d.choices[:-1]}
    assert {(row.dimension, row.choice) for row in rows} == expected
    assert len(heard) == len(rows) == heard[-1][0]
    assert [row.error for row in rows] == sorted((row.error for row in rows), reverse=True)
    assert all(row.error > 0 and 0 < row.params < 1 for row in rows)
    assert supernet.training
    by_name = {(row.dimension, row.choice): row for row in rows}
    name = "down_blocks.1.attentions.0.transformer_blocks.0.ff.width"
    widths = space[name].choices[:-1]
    assert by_name[name, widths[0]].macs > by_name[name, widths[-1]].macs
    write_sensitivity(tmp_path / "sensitivity.csv", rows)
    read = read_sensitivity(tmp_path / "sensitivity.csv", supernet)
    assert [(row.dimension, row.choice) for row in read] == [(row.dimension, row.choice) for row in rows]
    np.testing.assert_allclose([row.error for row in read], [row.error for row in rows], rtol=1e-5)
    some = sensitivity(supernet, batches[:1], ["mid"])
    assert [(row.dimension, row.choice) for row in some] == [("mid", False)]


def test_sensitivity_refuses_wrong_input(tmp_path: Path) -> None:
    supernet = _supernet()
    with pytest.raises(UsageError, match="batch"):
        sensitivity(supernet, [])
    with pytest.raises(UsageError, match="elephant"):
        sensitivity(supernet, [_examples(supernet, 1)[0][0]], ["elephant"])
    with pytest.raises(NasError, match="cannot be read"):
        read_sensitivity(tmp_path / "absent.csv", supernet)
    (tmp_path / "other.csv").write_text("dimension,choice,error,macs,params\nelephant,1,0,0,0\n")
    with pytest.raises(NasError, match="no sensitivity table"):
        read_sensitivity(tmp_path / "other.csv", supernet)
