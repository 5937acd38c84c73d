from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from diffusion.pipeline.files.folder import load_pipeline, read_info
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from diffusion.training.text_to_image import train
from diffusion.training.text_to_image.objective import PipelineObjective
from nas.data.dataset import open_data
from nas.errors import UsageError
from nas.train.checkpoint import read_checkpoint
from tests.diffusion.small import tiny_recipe, write_pictures

PARTS = ("unet/diffusion_pytorch_model", "text_encoder/model", "vae/diffusion_pytorch_model")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(str(write_pictures(tmp_path_factory.mktemp("data") / "shades")))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "tiny"
    train(tiny_recipe(), data, folder)
    return folder


def weights(folder) -> dict[str, torch.Tensor]:
    files = {part: load_file(folder / "model" / f"{part}.safetensors") for part in PARTS}
    return {f"{part}.{name}": tensor for part, found in files.items() for name, tensor in found.items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rows(folder) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_pipeline_log_samples_and_checkpoint(run):
    assert [row["step"] for row in rows(run)] == ["2", "4", "6"]
    assert all(float(row["loss"]) > 0 and float(row["v"]) > 0 for row in rows(run))
    with Image.open(run / "samples" / "0000006.png") as picture:
        assert picture.size == (8 * 18 - 2, 2 * 18 - 2)
    assert read_checkpoint(run / "checkpoint.pt").step == 6
    pipeline = load_pipeline(run)
    assert generate(pipeline, ["a photo of a bright"], [0], SamplingSettings(steps=1)).shape == (1, 16, 16, 3)
    assert read_info(run / "model")["prompts"] == ["a photo of a bright", "a photo of a dark"]


def test_what_is_saved_does_not_say_where_the_data_lie(run):
    checkpoint = read_checkpoint(run / "checkpoint.pt")
    assert checkpoint.about["data"] == "shades"
    for path in [*run.rglob("*.json")]:
        assert "/shades" not in path.read_text()


def test_seeds_and_steps_change_the_weights(run, data, tmp_path):
    train(tiny_recipe(seed=1), data, tmp_path / "other")
    assert not equal(weights(run), weights(tmp_path / "other"))


def stop_before(step: int, monkeypatch) -> None:
    take = PipelineObjective.step

    def stopped(self: PipelineObjective) -> Any:
        if self.state.step == step:
            raise KeyboardInterrupt
        return take(self)

    monkeypatch.setattr(PipelineObjective, "step", stopped)


def test_a_run_that_is_lengthened_while_its_rate_is_constant_ends_as_a_long_one(
    run, data, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_before(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(steps=10), data, tmp_path / "run")
    train(tiny_recipe(), data, tmp_path / "run", resume=True)
    assert equal(weights(run), weights(tmp_path / "run"))


def test_other_data_do_not_resume(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_before(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(), data, tmp_path / "run")
    fewer = open_data(str(write_pictures(tmp_path / "fewer", count=8)))
    with pytest.raises(UsageError, match="another configuration"):
        train(tiny_recipe(), fewer, tmp_path / "run", resume=True)


def test_a_second_stage_goes_on_from_the_weights_of_the_first(run, data, tmp_path, monkeypatch):
    still = tiny_recipe(steps=1, lr=1e-12, weight_decay=0.0)
    train(still, data, tmp_path / "second", start=run)
    first, second = weights(run), weights(tmp_path / "second")
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    with monkeypatch.context() as patch:
        stop_before(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(), data, tmp_path / "stopped", start=run)
    train(tiny_recipe(), data, tmp_path / "stopped", resume=True)
    train(tiny_recipe(), data, tmp_path / "straight", start=run)
    assert equal(weights(tmp_path / "stopped"), weights(tmp_path / "straight"))


def test_a_start_of_other_shapes_or_words_is_refused(run, data, tmp_path):
    with pytest.raises(UsageError, match="other shapes than the recipe"):
        train(tiny_recipe(width=16), data, tmp_path / "a", start=run)
    with pytest.raises(UsageError, match="knows other words"):
        train(tiny_recipe(), open_data("digits"), tmp_path / "b", start=run)


def test_a_folder_in_use_is_refused(run, data, tmp_path):
    with pytest.raises(UsageError, match="trained to its end"):
        train(tiny_recipe(), data, run)
    with pytest.raises(UsageError, match="there is no checkpoint"):
        train(tiny_recipe(), data, tmp_path / "new", resume=True)
    with pytest.raises(UsageError, match="precision bf16"):
        train(tiny_recipe(precision="bf16"), data, tmp_path / "new", device="cpu")


def test_training_learns_what_the_captions_say(data, tmp_path):
    recipe = tiny_recipe(steps=150, batch_size=8, lr=4e-3, warmup_steps=10, sample_every=150, width=16)
    train(recipe, data, tmp_path / "run")
    pipeline = load_pipeline(tmp_path / "run")

    def shades(name):
        return generate(pipeline, [f"a photo of a {name}"] * 4, range(4), SamplingSettings(steps=8)).mean(
            (1, 2, 3)
        )

    assert (shades("bright") - shades("dark")).min() > 5


def test_the_command_trains_on_a_folder_with_captions(nas_run, tmp_path):
    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    folder.mkdir()
    lines = []
    for index in range(10):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)).save(folder / f"{index}.png")
        lines.append(
            json.dumps({"file_name": f"{index}.png", "caption": f"a picture number {'ab'[index % 2]}"})
        )
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    recipe = tmp_path / "recipe.toml"
    values = {
        key: value for key, value in tiny_recipe(steps=1).to_dict().items() if not isinstance(value, dict)
    }
    recipe.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items()))
    args = ("diffusion", "train", "--recipe", recipe, "--data", folder, "--caption-column", "caption")
    done = nas_run(*args, "--output", tmp_path / "run", "--json")
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["info"]["data"] == "pictures"
    assert answer["info"]["prompts"] == ["a picture number a", "a picture number b"]
    assert load_pipeline(answer["model"]).tokenizer.model_max_length == 12
