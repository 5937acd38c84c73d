"""Judging subnets of a pipeline: the original is equal to itself, less is further away, prompts have classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffusion.evaluation.task import LatentEvaluator, MatchEvaluator, PsnrEvaluator, fixed_inputs
from diffusion.pipeline.inputs.captions import class_prompt
from nas.errors import UsageError
from nas.models import load_model
from tests.diffusion.tiny import write_pipeline


def test_the_original_is_equal_to_itself_and_fewer_steps_are_not(pipeline: Path) -> None:
    model = load_model(pipeline)
    largest = model.space.largest()
    psnr, latent = PsnrEvaluator(4), LatentEvaluator(4)
    same = model.extract(largest)
    assert psnr(model, same, largest) == pytest.approx(100.0) and latent(model, same, largest) < 1e-5
    near = model.space.subnet({**largest, "reuse": 2})
    far = model.space.smallest()
    values = [(psnr(model, net, s), latent(model, net, s)) for s in (near, far) for net in [model.extract(s)]]
    assert 100 > values[0][0] > values[1][0] and 1e-5 < values[0][1] < values[1][1]


def test_inputs_are_fixed_by_their_seeds(pipeline: Path) -> None:
    model = load_model(pipeline)
    few, many = fixed_inputs(model, 3), fixed_inputs(model, 10)
    assert all(torch.equal(few[name], many[name][:3]) for name in few)
    assert torch.equal(many["prompt"][0], many["prompt"][8])  # eight prompts in turn
    assert not torch.equal(many["latents"][0], many["latents"][8])


def test_prompt_match_needs_prompts_of_classes(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--quality psnr"):
        model = load_model(pipeline)
        model.task.evaluator(model, model.task.quality("match"))
    names = ["ship", "cat"]
    prompts = [class_prompt(name) for name in names]
    notes = {"prompts": prompts, "space": {"steps": [1]}}
    model = load_model(write_pipeline(tmp_path / "classes", notes))
    largest = model.space.largest()
    found = MatchEvaluator(20)(model, model.extract(largest), largest)
    assert 0 <= found <= 100 and found % 5 == 0


def test_measure_judges_composed_programs(nas_run: Callable, pipeline: Path, tmp_path: Path) -> None:
    """A pipeline is run program by program; one without class prompts has no prompt match."""
    folder = shutil.copytree(pipeline, tmp_path / "measured")
    done = nas_run("measure", folder, "--count", "10", "--held-out", "0", "--jobs", "1", "--json")
    assert done.code == 0, done.stderr
    assert [*json.loads(done.stdout)["qualities"]] == ["psnr", "latent"]
    model = load_model(folder)
    table = model.table()
    assert table is not None and len(table) == 10
    row = 3
    subnet = model.space.from_codes(table.codes[row])
    network = model.extract(subnet)
    assert table.values["latent"][row] == pytest.approx(LatentEvaluator()(model, network, subnet), rel=1e-3)
    assert table.values["psnr"][row] == pytest.approx(PsnrEvaluator()(model, network, subnet), abs=0.05)
