from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.pipeline.files.folder import load_pipeline, read_info
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from diffusion.training.distil import DistillationRecipe, distil, load_recipe, recipe_names
from diffusion.training.distil.features import stage_features
from diffusion.training.distil.state import build_state, sort_channels, unet_family, with_subnet
from diffusion.training.distil.steps import DistillationSteps
from nas.compress.distil import feature_error
from nas.data.dataset import open_data
from nas.errors import UsageError
from nas.train.trainer import TrainingStopped
from tests.diffusion.small import CLASSES, tiny_pipeline, write_pictures, write_tiny

CPU = torch.device("cpu")


def recipe(**changes: Any) -> DistillationRecipe:
    small = DistillationRecipe(
        name="elastic", steps=4, batch_size=4, warmup_steps=1, checkpoint_steps=2, sample_every=4, log_every=2,
        sample_steps=1, ema_decay=0.9,
    )  # fmt: skip
    return small.replaced(**changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(str(write_pictures(tmp_path_factory.mktemp("data") / "shades")))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("start") / "tiny")


@pytest.fixture(scope="module")
def run(data, start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "elastic"
    distil(recipe(), data, folder, start=start)
    return folder


def unet_of(folder) -> dict[str, torch.Tensor]:
    return load_pipeline(folder).unet.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def latents(pipeline) -> np.ndarray:
    return generate(pipeline, ["a dark", "a bright"], [0, 1], SamplingSettings(steps=2), latents=True)


def test_a_run_leaves_a_pipeline_that_says_what_its_subnets_are(run, start):
    with open(run / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row[name]) > 0 for row in rows for name in ("loss", "output", "feature", "narrowest"))
    with Image.open(run / "samples" / "0000004.png") as picture:
        assert picture.size == (len(CLASSES) * 18 - 2, 3 * 18 - 2)
    made, before = load_pipeline(run), load_pipeline(start)
    assert type(made.unet).__name__ == "UNet2DConditionModel"
    assert not equal(made.unet.state_dict(), before.unet.state_dict())
    for part in ("vae", "text_encoder"):
        assert equal(getattr(made, part).state_dict(), getattr(before, part).state_dict())
    info = read_info(run / "model")
    assert info["name"] == "elastic"
    assert info["elastic"] == {"data": "shades", "steps": 4, "batch_size": 4}
    assert unet_family(made, info["space"]["unet"]).space.names == unet_family(before, {}).space.names


def test_sorting_at_the_start_changes_no_image(start):
    pipeline = load_pipeline(start)
    state, teacher = build_state(recipe(), pipeline, CPU)
    inputs = {"sample": torch.randn(4, 8, 4, 4), "timestep": torch.full((4,), 500.0)}
    inputs["encoder_hidden_states"] = torch.randn(4, 12, 8)
    sort_channels(state, [(inputs, torch.randn(4, 8, 4, 4))])
    assert equal(state.supernet.state_dict(), state.averaged.state_dict())
    sorted_again = with_subnet(pipeline, state.supernet, state.family.space.largest())
    assert not equal(sorted_again.unet.state_dict(), pipeline.unet.state_dict())
    np.testing.assert_allclose(latents(sorted_again), latents(pipeline), atol=1e-4)
    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_a_subnet_of_any_size_makes_images(run):
    pipeline = load_pipeline(run)
    state, _ = build_state(recipe(), pipeline, CPU)
    for subnet in (state.family.uniform(0), state.family.space.smallest()):
        made = with_subnet(pipeline, state.supernet, subnet)
        assert latents(made).shape == (2, 8, 4, 4)
        sizes = [sum(weight.numel() for weight in each.unet.parameters()) for each in (made, pipeline)]
        assert sizes[0] < 0.8 * sizes[1]


def test_features_are_those_after_every_stage_that_is_there():
    pipeline = tiny_pipeline()
    state, teacher = build_state(recipe(), pipeline, CPU)
    family = state.family
    inputs = family.example_input(family.space.largest(), 2)
    with stage_features(teacher) as truth:
        teacher(**inputs)
    assert list(truth) == ["down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"]
    with state.supernet.bound(family.uniform(0, mid=False)) as network, stage_features(network) as found:
        network(**inputs)
    assert "mid_block" not in found
    assert all(found[name].shape == truth[name].shape for name in found)
    assert feature_error(truth, truth) == 0
    assert float(feature_error(found, truth).detach()) > 0.001
    doubled = {name: 2 * tensor for name, tensor in truth.items()}
    assert float(feature_error(doubled, truth).detach()) == pytest.approx(1, rel=1e-4)
    assert not any(module._forward_hooks for module in teacher.modules())


def test_each_step_trains_largest_narrowest_and_random_subnets(start, monkeypatch):
    pipeline = load_pipeline(start)
    chosen = recipe(random_subnets=2)
    state, teacher = build_state(chosen, pipeline, CPU)
    steps = DistillationSteps(chosen, state, teacher, pipeline, data=None)  # pyright: ignore[reportArgumentType]
    first = steps.subnets()
    assert first[:2] == [state.family.space.largest(), state.family.uniform(0)]
    assert len(first) == 4
    assert first == steps.subnets()
    state.step = 1
    assert first[2:] != steps.subnets()[2:]


def test_the_largest_stays_near_and_the_narrowest_comes_nearer(start, data, tmp_path):
    trained = distil(
        recipe(steps=60, batch_size=16, lr=3e-3, log_every=20, sample_every=60, task_weight=0.0, cooldown=1.0),
        data, tmp_path / "run", start=start,
    )  # fmt: skip
    with open(trained.parent / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["narrowest"]) < 0.8 * float(rows[0]["narrowest"])
    assert float(rows[-1]["largest"]) < float(rows[-1]["narrowest"])


def test_what_does_not_fit_is_refused(data, start, run, tmp_path):
    with pytest.raises(UsageError, match="needs a trained pipeline"):
        distil(recipe(), data, tmp_path / "run")
    with pytest.raises(UsageError, match="there is no pipeline"):
        distil(recipe(), data, tmp_path / "run", start="nothing")
    with pytest.raises(UsageError, match="an option that the UNet does not take"):
        distil(recipe(space={"colour": 1}), data, tmp_path / "run", start=start)
    with pytest.raises(UsageError, match="trained to its end"):
        distil(recipe(), data, run, start=start)
    with pytest.raises(UsageError, match="nothing is learned"):
        recipe(task_weight=0.0, output_weight=0.0, feature_weight=0.0)


def test_an_unconditional_pipeline_is_refused():
    class Unconditional:
        unet = tiny_pipeline().unet

    with pytest.raises(UsageError, match="Unconditional is trained by none of our recipes"):
        unet_family(Unconditional(), {})


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_along_are_whole(name):
    assert load_recipe(name).steps > 0


def test_an_elastic_start_keeps_the_order_of_its_channels(run, data, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(DistillationSteps, "take", lambda self: taken.append(_copy(self)) or _end())
    with pytest.raises(TrainingStopped):
        distil(recipe(), data, tmp_path / "more", start=run)
    assert equal(taken[0], unet_of(run))


def _copy(steps: DistillationSteps) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in steps._state.supernet.network.state_dict().items()}


def _end() -> None:
    raise TrainingStopped("enough was seen")
