from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from diffusion.cli import COMMANDS
from diffusion.pipeline.files.folder import hub_reason
from tests.diffusion.small import write_pictures, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("pipeline") / "tiny")


@pytest.fixture
def run(nas_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(command, *args):
        return nas_run("diffusion", command, *args)

    return run


def refused(outcome, words, code=2):
    assert outcome.code == code, outcome.stderr
    assert words in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr
    assert not outcome.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_there(run, name):
    shown = run(name, "--help")
    assert shown.code == 0
    assert "--json" in shown.stdout


def test_a_grid_has_a_row_for_each_prompt(run, tiny, tmp_path):
    done = run("sample", "a dark", "a bright", "--pipeline", tiny, "--count", "3", "--steps", "1")
    assert done.code == 0, done.stderr
    assert "wrote sample.png: 6 images by tiny, 1 steps, guidance 3" in done.stdout
    with Image.open(tmp_path / "sample.png") as picture:
        assert picture.size == (3 * 18 - 2, 2 * 18 - 2)
        grid = np.array(picture)
    more = run(
        "sample",
        "a bright",
        "--pipeline",
        tiny,
        "--count",
        "1",
        "--seed",
        "2",
        "--steps",
        "1",
        "--output",
        "b.png",
    )
    assert more.code == 0, more.stderr
    with Image.open(tmp_path / "b.png") as picture:
        alone = np.array(picture)
    assert np.abs(alone.astype(int) - grid[18:, 36:]).max() <= 1


def test_single_images_are_named_by_prompt_and_seed(run, tiny, tmp_path):
    args = (
        "--pipeline",
        tiny,
        "--count",
        "2",
        "--seed",
        "9",
        "--steps",
        "1",
        "--single",
        "--zoom",
        "2",
        "--json",
    )
    done = run("sample", *args)
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["prompts"] == ["a photo of a dark", "a photo of a bright"]
    assert answer["seeds"] == [9, 10]
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["0-seed09.png", "0-seed10.png", "1-seed09.png", "1-seed10.png"]
    with Image.open(tmp_path / "samples" / names[0]) as picture:
        assert picture.size == (32, 32)


def test_eval_tells_match_and_difference(run, tiny, tmp_path):
    other = write_tiny(tmp_path / "other", seed=1)
    args = ("--pipeline", tiny, "--against", other, "--images", "4", "--compared", "2", "--steps", "1")
    done = run("eval", "a dog", "a horse", *args, "--json")
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["match"]["by_prompt"]) == {"a dog", "a horse"}
    assert answer["match"]["images"] == 4
    assert answer["match"]["low"] <= answer["match"]["percent"] <= answer["match"]["high"]
    assert 0 < answer["difference"]["psnr_db"] < 60
    conditioning = run("eval", "a dog", *args)
    assert "prompt match" in conditioning.stdout
    assert "judged by mbv3-cifar10" in conditioning.stdout
    assert "SSIM" in conditioning.stdout


def test_eval_measures_distances_in_named_features(run, tiny, tmp_path):
    real = write_pictures(tmp_path / "real", 8)
    other = write_tiny(tmp_path / "other", seed=1)
    args = ("--pipeline", tiny, "--against", other, "--data", real, "--images", "3", "--steps", "1")
    done = run("eval", "a dark", *args, "--json")
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["match"] is None  # no prompt of a class
    figures = {each["name"]: each for each in answer["figures"]}
    assert set(figures) == {"feature distance", "Fréchet distance", "kernel distance × 1000"}
    assert {each["features"] for each in figures.values()} == {"mbv3-cifar10 features"}
    assert figures["feature distance"]["against"] == str(other) and figures["feature distance"]["value"] > 0
    conditioning = run("eval", "a dark", *args)
    assert "real images (mbv3-cifar10 features, 3 images)" in conditioning.stdout


def test_eval_refuses_metrics_without_what_they_need(run, tiny, tmp_path):
    refused(run("eval", "--pipeline", tiny, "--lpips", "cache"), "it needs --against")
    refused(run("eval", "--pipeline", tiny, "--inception", "cache"), "it needs --data")
    refused(run("eval", "--pipeline", tiny, "--images", "0"), "0 is not in the range")
    absent = run("eval", "--pipeline", tiny, "--clip", tmp_path / "none", "--images", "1")
    refused(absent, "is not on this machine", code=1)


def test_what_a_hub_says_is_told_in_its_first_words():
    said = OSError(
        "Cannot load model a/b: it is not cached (set local_files_only).\nSee the stacktrace above."
    )
    assert hub_reason(said) == "Cannot load model a/b: it is not cached"
    assert hub_reason(OSError()) == "OSError"


def test_wrong_input_costs_a_sentence(run, tiny, tmp_path):
    refused(run("sample", "a dark", "--pipeline", tiny, "--steps", "0"), "0 is not in the range")
    refused(run("sample", "dark " * 40, "--pipeline", tiny), "at most 12 are taken")
    refused(run("sample", "a dark", "--pipeline", "nothing"), "there is no pipeline 'nothing'")
    (tmp_path / "runs").mkdir()  # then runs/nothing is no hub id
    refused(run("sample", "a dark", "--pipeline", "runs/nothing"), "there is no pipeline 'runs/nothing'")
    refused(run("compare", tiny, "diffusion:runs/nothing"), "runs/nothing does not exist")
    refused(run("sample", "a dark", "--pipeline", tiny, "--device", "nowhere"), "cannot be moved to nowhere")
    refused(run("eval", "a house", "--pipeline", tiny, "--images", "1", "--steps", "1"), "exactly one class")
    (tmp_path / "sample.png").write_bytes(b"")
    refused(run("sample", "a dark", "--pipeline", tiny), "already exists")
    bare = shutil.copytree(tiny, tmp_path / "bare")
    (bare / "anyfit.json").unlink()
    refused(run("sample", "--pipeline", bare, "--output", "c.png"), "give a prompt")
    weights = bare / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(
        run("sample", "a dark", "--pipeline", bare, "--output", "c.png"), "no whole safetensors file", code=1
    )
