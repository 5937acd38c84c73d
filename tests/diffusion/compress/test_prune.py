"""Pruning pipelines: named subnets and choices, limits, any kind of pipeline, wrong inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from diffusion.compress import prune
from diffusion.compress.examples import own_examples
from diffusion.compress.pruning import TABLE, PipelinePruneConfig
from diffusion.compress.spec import read_subnet
from diffusion.pipeline.elastic import open_pipeline
from diffusion.pipeline.files.folder import load_pipeline, read_info, write_pipeline
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from nas.errors import UsageError
from tests.conformance.diffusion import UNCONDITIONAL
from tests.diffusion.cli.test_diffusion_commands import refused
from tests.diffusion.small import tiny_pipeline, tiny_recipe, write_pictures, write_tiny

QUICK: dict[str, Any] = {"images": 2, "samples": 2, "steps": 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("pipeline") / "tiny")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with two layers a stage, as Stable Diffusion has."""
    folder = tmp_path_factory.mktemp("pipeline") / "deep"
    write_pipeline(folder, tiny_pipeline(tiny_recipe(layers=2)), {"name": "deep"})
    return folder


def latents(pipeline: Any) -> np.ndarray:
    return generate(pipeline, ["a dark", "a bright"], [0, 1], SamplingSettings(steps=2), latents=True)


def test_an_elastic_pipeline_is_cut_in_the_order_it_was_trained_for(tiny: Path, tmp_path: Path) -> None:
    opened = open_pipeline(tiny)
    elastic = tmp_path / "elastic"
    write_pipeline(elastic, opened.pipeline, {**opened.info, "elastic": {"steps": 1}})
    prune(elastic, tmp_path / "half", PipelinePruneConfig(subnet="half", **QUICK))
    made = load_pipeline(tmp_path / "half").unet.state_dict()
    wanted = opened.supernet.extract(opened.family.named()["half"]).state_dict()
    assert made.keys() == wanted.keys() and all(torch.equal(made[name], wanted[name]) for name in made)


def test_examples_are_the_pipelines_own_samples(tiny: Path) -> None:
    opened = open_pipeline(tiny)
    examples = own_examples(opened, 3, seed=5, steps=2)
    assert len(examples) == 12
    for inputs, target in examples:
        assert inputs["sample"].shape == target.shape == (3, 8, 4, 4)
        assert inputs["encoder_hidden_states"].shape == (3, 12, 8)
        assert len(inputs["timestep"].unique()) == 1
    again = own_examples(opened, 3, seed=5, steps=2)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(examples, again, strict=True))
    words = opened.pipeline.text_encoder(
        opened.pipeline.tokenizer("a photo of a dark", padding="max_length", return_tensors="pt").input_ids
    )[0]
    torch.testing.assert_close(examples[0][0]["encoder_hidden_states"][0], words[0])


def test_half_of_a_pipeline_is_written_and_loads(tiny: Path, tmp_path: Path) -> None:
    done = prune(tiny, tmp_path / "half", PipelinePruneConfig(subnet="half", **QUICK))
    assert done.after.params < 0.75 * done.before.params
    assert not done.stock
    assert done.psnr_db is not None and 5 < done.psnr_db < 60
    made = load_pipeline(tmp_path / "half")
    assert sum(weight.numel() for weight in made.unet.parameters()) == done.after.params
    info = read_info(tmp_path / "half")
    assert info["pruned"]["from"] == "tiny"
    assert info["prompts"]
    assert not (tmp_path / "half" / TABLE).exists()
    before = load_pipeline(tiny)
    for part in ("vae", "text_encoder"):
        pairs = zip(getattr(made, part).parameters(), getattr(before, part).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    again = prune(tiny, tmp_path / "again", PipelinePruneConfig(subnet=str(tmp_path / "half"), **QUICK))
    assert again.subnet == done.subnet
    np.testing.assert_array_equal(latents(load_pipeline(tmp_path / "again")), latents(made))


def test_subnets_of_bk_sdm_are_plain_pipelines_of_diffusers(deep: Path, tmp_path: Path) -> None:
    done = prune(
        deep, tmp_path / "small", PipelinePruneConfig(subnet="bk-sdm-small", **{**QUICK, "images": 0})
    )
    assert done.stock
    assert done.psnr_db is None
    assert done.examples == ""  # whole layers left out: no channel has to be sorted
    made, original = load_pipeline(tmp_path / "small"), load_pipeline(deep)
    assert type(made.unet) is UNet2DConditionModel
    assert made.unet.mid_block is None
    first = "down_blocks.0.resnets.0.conv1.weight"
    assert torch.equal(made.unet.get_parameter(first), original.unet.get_parameter(first))


def test_the_command_keeps_a_limit_and_the_table(nas_run: Any, tiny: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "shades", count=4)
    args = (
        "--pipeline",
        tiny,
        "--macs",
        "60%",
        "--sensitivity",
        "--data",
        data,
        "--images",
        "2",
        "--steps",
        "1",
    )
    done = nas_run("diffusion", "prune", *args, "--output", tmp_path / "out", "--json")
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["after"]["macs"] <= 0.6 * answer["before"]["macs"]
    assert answer["importance"] == "shades"
    table = json.loads((tmp_path / "out" / TABLE).read_text())
    assert table == answer["sensitivity"]
    assert {"dimension", "choice", "error", "macs", "params"} == set(table[0])
    assert latents(load_pipeline(tmp_path / "out")).shape == (2, 8, 4, 4)
    conditioning = nas_run(
        "diffusion", "prune", "--pipeline", tiny, "--sensitivity", "--samples", "1", "--steps", "1"
    )
    assert conditioning.code == 0, conditioning.stderr
    assert "most harmful first, one choice at a time" in conditioning.stdout
    assert "wrote" not in conditioning.stdout


def test_an_unconditional_pipeline_is_pruned(tmp_path: Path) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    torch.manual_seed(0)
    unet: Any = UNet2DModel.from_config(UNCONDITIONAL)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    done = prune(tmp_path / "ddpm", tmp_path / "half", PipelinePruneConfig(params="70%", **QUICK))
    assert done.after.params <= 0.7 * done.before.params
    assert type(load_pipeline(tmp_path / "half").unet).__name__ in ("SubnetUNet2DModel", "UNet2DModel")


def test_choices_are_read_in_every_form(deep: Path, tmp_path: Path) -> None:
    family = open_pipeline(deep).family
    wanted = family.uniform(1, layers=1, mid=False)
    assert read_subnet(family, '{"layers": 1, "mid": false}') == wanted
    (tmp_path / "plain.json").write_text('{"layers": 1, "mid": false}')
    (tmp_path / "subnet.json").write_text(wanted.to_json())
    for name in ("plain.json", "subnet.json"):
        assert read_subnet(family, str(tmp_path / name)) == wanted
    for text, words in (
        ('{"layers": 1', "is not complete"),
        ('{"colour": 1}', "has 'colour', which is no dimension"),
        ('{"layers": 7}', "must be one of|7"),
        ("elephant", "give one of largest, half, smallest, bk-sdm-base"),
        (str(deep), "was not pruned by anyfit"),
    ):
        with pytest.raises(UsageError, match=words):
            read_subnet(family, text)


def test_wrong_input_costs_a_sentence(nas_run: Any, tiny: Path, tmp_path: Path) -> None:
    def run(*args: Any) -> Any:
        return nas_run("diffusion", "prune", "--pipeline", tiny, *args)

    refused(run("--output", tmp_path / "a"), "nothing says how small")
    refused(run("--subnet", "half", "--macs", "60%", "--output", tmp_path / "a"), "were both given")
    refused(run("--subnet", "half"), "needs a place")
    refused(run("--subnet", "half", "--output", tmp_path), "already exists")
    refused(run("--subnet", "elephant", "--output", tmp_path / "a"), "there is no subnet 'elephant'")
    refused(run("--macs", "100%", "--output", tmp_path / "a"), "is within --macs 100% already")
    outcome = run("--params", "10", "--samples", "1", "--steps", "1", "--output", tmp_path / "a")
    refused(outcome, "the smallest subnet has", code=3)
    assert not (tmp_path / "a").exists()
