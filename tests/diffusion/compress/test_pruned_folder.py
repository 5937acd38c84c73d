"""Folders whose denoiser is pruned already: models like any other, with the pruned network as the largest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.compress.pruning import PipelinePruneConfig, prune
from diffusion.denoisers.subnets import options_within, to_diffusers
from diffusion.denoisers.unet import diffusion_unet
from diffusion.pipeline.elastic import open_pipeline
from diffusion.pipeline.files.folder import load_pipeline
from diffusion.training.distil.state import unet_family
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.models import load_model
from tests.conformance.diffusion import SD1
from tests.conformance.families import randomise
from tests.diffusion.denoisers.test_unet import _run
from tests.diffusion.tiny import write_pipeline


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned")
    whole = write_pipeline(folder / "whole", {"guidance": 2.0, "prompts": ["cat"]})
    prune(whole, folder / "half", PipelinePruneConfig(subnet="half", images=0, samples=1, steps=2))
    return folder / "half"


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_any_subnet_can_be_the_largest(seed: int) -> None:
    import numpy as np

    family = diffusion_unet(SD1, tokens=5)
    supernet = Supernet(family).eval()
    randomise(supernet)
    subnet = family.space.smallest() if seed == 0 else family.space.sample(np.random.default_rng(seed))
    own = diffusion_unet(SD1, tokens=5, within=dict(subnet))
    assert dict(own.space.largest()) == dict(subnet) and own.space.size <= family.space.size
    made = Supernet(own).eval()
    made.network.load_state_dict(supernet.extract(subnet).state_dict())
    inputs = family.example_input(subnet, 2)
    assert torch.equal(made(inputs, own.space.largest()), supernet(inputs, subnet))
    for smaller in (own.space.smallest(), own.space.sample(np.random.default_rng(seed))):
        model = to_diffusers(own, smaller, made.extract(smaller))
        assert torch.equal(_run(model, inputs), made(inputs, smaller))
        assert made.count(smaller).macs <= made.count(own.space.largest()).macs
    assert {"largest", "half"} <= own.named().keys()


@torch.no_grad()
def test_it_is_a_model(pruned: Path) -> None:
    model = load_model(f"diffusion:{pruned}")
    unet = load_pipeline(pruned).unet
    largest = model.space.largest()
    inputs = model.family.programs["unet"].example(largest, 2)
    found = model.family.programs["unet"].view(model.extract(largest))(**inputs)
    found = found[:, : inputs["sample"].shape[1]]  # deep features come after the prediction
    torch.testing.assert_close(found, _run(unet, inputs), rtol=0, atol=1e-5)
    assert model.space["attention.bits"].choices == (4, 8, 32)
    assert model.supernet.count(model.space.smallest()).macs < model.supernet.count(largest).macs


def test_the_commands_take_it(pruned: Path, nas_run: Callable, tmp_path: Path) -> None:
    def run(*args: Any) -> Any:
        done = nas_run(*args)
        assert done.code == 0, done.stderr
        return done

    run("show", f"diffusion:{pruned}", "--json")
    one = ("--threads", "1")
    code, _, err = nas_run("search", "--model", f"diffusion:{pruned}", "--latency", "1us", *one)
    assert code == 3 and "the smallest needs" in err
    run("diffusion", "sample", "cat", "--pipeline", pruned, "--steps", "1", "--output", tmp_path / "a.png")
    given = (f"{pruned}@steps=1", f"{pruned}@steps=2", "--prompt", "cat", "--images", "1", "--no-measure")
    conditioning = run("diffusion", "compare", *given, "--output", tmp_path / "b.png", *one, "--json")
    assert len(json.loads(conditioning.stdout)["pipelines"]) == 2


def test_it_teaches_nothing(pruned: Path) -> None:
    with pytest.raises(UsageError, match="with --subnet"):
        unet_family(load_pipeline(pruned), {})


def test_it_is_pruned_again(pruned: Path, tmp_path: Path) -> None:
    before = open_pipeline(pruned)
    done = prune(
        pruned, tmp_path / "less", PipelinePruneConfig(subnet="smallest", images=0, samples=1, steps=2)
    )
    assert done.before == before.supernet.count(before.family.space.largest())
    assert done.after.params < done.before.params
    unet = load_pipeline(tmp_path / "less").unet
    assert sum(weight.numel() for weight in unet.parameters()) == done.after.params
    load_model(tmp_path / "less")


def test_weights_of_few_bits_are_refused() -> None:
    options = {"bits": [4, 8, 32], "resnet": [1]}
    assert options_within({"options": options, "choices": {"attention.bits": 32, "mid": False}}, "x") == {
        "resnet": [1],
        "within": {"mid": False},
    }
    with pytest.raises(UsageError, match="fewer than 32 bits"):
        options_within({"options": options, "choices": {"attention.bits": 4}}, "x")
    with pytest.raises(UsageError, match="is no dimension"):
        diffusion_unet(SD1, within={"nothing": 1})
