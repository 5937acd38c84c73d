"""Every command on pipelines that are not Stable Diffusion, as people type it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.pipeline.files.folder import DENOISERS, load_pipeline
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from nas.errors import UsageError
from tests.diffusion.cli.test_diffusion_commands import refused
from tests.diffusion.kinds import write_kind
from tests.diffusion.small import write_pictures


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    return {name: write_kind(name, root / name) for name in ("sdxl", "ddpm", "dit", "pixart")}


@pytest.fixture
def run(nas_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return nas_run


def open_kind(folder: Path) -> Any:
    return load_pipeline(folder, denoisers=DENOISERS)


@pytest.mark.parametrize(
    ("name", "prompts"), [("sdxl", ["a ship"]), ("ddpm", []), ("dit", ["boat", "7"]), ("pixart", ["A cat"])]
)
def test_sample_takes_texts_classes_or_nothing(folders, run, tmp_path, name, prompts) -> None:
    done = run("diffusion", "sample", *prompts, "--pipeline", folders[name], "--count", "2", "--steps", "2")
    assert done.code == 0, done.stderr
    assert f"wrote sample.png: {2 * max(1, len(prompts))} images by {name}, 2 steps" in done.stdout
    assert ("guidance" in done.stdout) == (name != "ddpm")
    with Image.open(tmp_path / "sample.png") as picture:
        assert np.array(picture).std() > 1


@torch.no_grad()
def test_classes_are_sampled_as_diffusers_samples_them(folders) -> None:
    stock = open_kind(folders["dit"])
    settings = SamplingSettings(steps=3, guidance=4.0)
    made = generate(stock, ["boat", "7"], [0, 1], settings)
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    wanted = stock(
        [3, 7], generator=generators, num_inference_steps=3, guidance_scale=4.0, output_type="pt"
    ).images
    pixels = (wanted * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.abs(made.astype(int) - pixels).max() <= 1
    plain = generate(stock, ["boat", "7"], [0, 1], SamplingSettings(steps=3, guidance=1.0), latents=True)
    guided = generate(stock, ["boat", "7"], [0, 1], settings, latents=True)
    assert guided.shape == (2, 4, 8, 8) and np.abs(plain - guided).max() > 1e-3


def test_eval_compares_what_has_no_prompt(folders, run) -> None:
    other = ("--against", folders["ddpm"], "--images", "2", "--compared", "2", "--steps", "1", "--json")
    refused(
        run("diffusion", "eval", "--pipeline", folders["ddpm"], "--images", "1"),
        "name another pipeline with --against",
    )
    refused(
        run("diffusion", "eval", "a ship", "--pipeline", folders["ddpm"], *other),
        "is unconditional, but the prompt",
    )
    done = run(
        "diffusion", "eval", "--pipeline", folders["dit"], *other[2:6], "--against", folders["dit"], "--json"
    )
    assert done.code == 0, done.stderr  # one of its classes is "ship"
    answer = json.loads(done.stdout)
    assert set(answer["match"]["by_prompt"]) == {"ship"}
    assert answer["difference"]["latent"] == 0


@pytest.mark.parametrize(
    ("name", "prompts"), [("sdxl", ["a ship"]), ("ddpm", []), ("dit", ["boat", "7"]), ("pixart", ["a cat"])]
)
def test_compare_takes_texts_classes_or_nothing(folders, run, name, prompts) -> None:
    asked = [word for prompt in prompts for word in ("--prompt", prompt)]
    how = ("--images", "2", "--runtime", "torch", "--threads", "1", "--no-measure")
    refused(
        run("diffusion", "compare", *[folders[name]] * 2, "--prompt", "a whale " * 9, *how),
        {"ddpm": "is unconditional", "dit": "has no class"}.get(name, "at most 8 are taken"),
    )
    done = run("diffusion", "compare", f"{folders[name]}@steps=2", f"{folders[name]}@steps=1", *asked, *how)
    assert done.code == 0, done.stderr
    assert "dB" in done.stdout and "wrote compare.png" in done.stdout


def test_wrong_input_costs_a_sentence(folders, run, tmp_path) -> None:
    sample = ("diffusion", "sample", "--output", "new.png", "--steps", "1", "--pipeline")
    refused(run(*sample, folders["ddpm"], "a ship"), "is unconditional, but the prompt 'a ship'")
    refused(
        run(*sample, folders["dit"], "a whale"), "no class 'a whale'; give one of the 1001 names, such as"
    )
    refused(run(*sample, folders["dit"], "1000"), "a number from 0 to 999")
    refused(run(*sample, folders["dit"], "7", "--negative", "8"), "takes no texts")
    refused(run(*sample, folders["pixart"], "a cat", "--rescale", "0.5"), "only pipelines with a UNet")
    refused(run(*sample, folders["pixart"], "a cat " * 10), "at most 8 are taken")
    refused(run(*sample, folders["sdxl"], "a ship " * 10), "at most 8 are taken")


@pytest.mark.parametrize("name", ["sdxl", "dit"])
def test_prune_takes_every_kind(folders, run, tmp_path, name) -> None:
    how = ("--images", "0", "--samples", "1", "--steps", "1")
    prompts = {"prompts": ["a ship"]} if name == "sdxl" else {}
    folder = write_kind(name, tmp_path / name, **prompts)
    done = run("diffusion", "prune", "--pipeline", folder, "--subnet", "smallest", "--output", "small", *how)
    assert done.code == 0, done.stderr
    assert "parameters" in done.stdout and "length" not in done.stderr
    made = open_kind(tmp_path / "small")
    assert generate(made, ["a ship" if name == "sdxl" else "7"], [0], SamplingSettings(steps=1)).std() > 1


@pytest.mark.parametrize("name", ["sdxl", "dit", "ddpm"])
def test_a_pipeline_that_is_not_distilled_leaves_nothing_behind(folders, run, tmp_path, name) -> None:
    data = write_pictures(tmp_path / "pictures", 2)
    how = ("--recipe", "cifar10-elastic", "--data", data, "--output", "taught", "--steps", "1")
    refused(run("diffusion", "distill", "--start", folders[name], *how), "is trained by none of our recipes")
    assert not (tmp_path / "taught").exists()


def change_index(folder: Path, **parts: Any) -> None:
    path = folder / "model_index.json"
    index = {**json.loads(path.read_text()), **parts}
    path.write_text(json.dumps({key: value for key, value in index.items() if value is not None}))


def test_pipelines_that_are_no_whole_say_what_is_needed(folders, run, tmp_path) -> None:
    half = shutil.copytree(folders["dit"], tmp_path / "half")
    change_index(half, transformer=None)
    refused(
        run("show", half),
        "half is a DiTPipeline with scheduler, vae; supported is a DiTPipeline with transformer, vae",
    )
    refused(
        run("diffusion", "sample", "7", "--pipeline", half),
        "has no UNet and no transformer: its parts are scheduler, vae",
    )
    change_index(half, _class_name="FluxPipeline")
    refused(
        run("show", half),
        "half is a FluxPipeline with scheduler, vae; supported is a StableDiffusionPipeline with unet",
    )
    wrong = shutil.copytree(folders["ddpm"], tmp_path / "wrong")
    config = json.loads((wrong / "unet" / "config.json").read_text())
    (wrong / "unet" / "config.json").write_text(json.dumps({**config, "_class_name": "UNet3DConditionModel"}))
    refused(run("show", wrong), "the configuration is of a UNet3DConditionModel")
    (wrong / "unet" / "config.json").write_text(
        json.dumps({**config, "down_block_types": ["KDownBlock2D"] * 2})
    )
    refused(run("show", wrong), "down_block_types is 'KDownBlock2D', which is not supported")
    (wrong / "unet" / "config.json").write_text(json.dumps({**config, "num_class_embeds": 3}))
    refused(run("show", wrong), "unet takes class_labels, unlike that of a DDPMPipeline")


@pytest.mark.parametrize("name", ["sdxl", "dit", "pixart"])
def test_damaged_and_pickled_weights_are_refused(folders, run, tmp_path, name) -> None:
    part = "transformer" if name != "sdxl" else "text_encoder_2"
    copy = shutil.copytree(folders[name], tmp_path / "copy")
    (weights,) = (copy / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:2000])
    refused(run("eval", copy, "--quality", "psnr"), f"{part} cannot be read", code=1)
    weights.unlink()
    torch.save({"weight": print}, copy / part / "pytorch_model.bin")
    refused(run("eval", copy, "--quality", "psnr"), "unpickling it could run any code")
    with pytest.raises(UsageError, match="unpickling it could run any code"):
        open_kind(copy)


def test_pictures_that_are_not_finite_cost_a_sentence(folders, run, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folders["dit"], tmp_path / "copy")
    (weights,) = (copy / "transformer").glob("*.safetensors")
    state = load_file(weights)
    save_file(
        {**state, "proj_out_2.bias": state["proj_out_2.bias"] * float("nan")}, weights, {"format": "pt"}
    )
    refused(run("eval", copy, "--quality", "psnr"), "a picture is not finite", code=1)
    done = run("diffusion", "sample", "7", "--pipeline", copy, "--steps", "1")
    refused(done, "the image of seed 0 is not finite", code=1)


FEW: dict[str, dict[str, Any]] = {
    "ddpm": {"unet": {"resnet": [1], "self_attention": [0.5, 1], "removable": False, "bits": None}, "reuse": [2, 1]},
    "dit": {"transformer": {"self_attention": [1], "feed_forward": [0.5, 1], "removable": False, "bits": [8, 32]}},
}  # fmt: skip
"""Spaces of a few programs, which are quickly measured."""


@pytest.mark.parametrize("name", FEW)
def test_search_export_and_what_is_exported(run, tmp_path, name) -> None:
    """The whole way of a user; latencies are so small or large that no machine decides."""
    folder = write_kind(name, tmp_path / name, space={"steps": [1, 2], **FEW[name]})
    over = run("search", "--model", folder, "--latency", "1us", "--threads", "1")
    assert over.code == 3 and "the smallest needs" in over.stderr
    profiled = run("profile", "--model", folder, "--threads", "1", "--samples", "20")
    assert profiled.code == 0, profiled.stderr
    found = run(
        "search", "--model", f"diffusion:{folder}", "--latency", "60s", "--threads", "1", "--trials", "4",
        "--run-dir", "run", "--json",
    )  # fmt: skip
    assert found.code == 0, found.stderr
    done = run("export", "run", "--format", "onnx", "--output", "out", "--no-measure")
    assert done.code == 0, done.stderr
    assert set(json.loads(run("show", "out", "--json").stdout)["files"].values()) == {"ok"}
    prompt = ["boat"] if name == "dit" else []
    made = subprocess.run(
        [sys.executable, "out/run_onnx.py", *prompt, "--output", "made.png"], capture_output=True, text=True
    )
    assert made.stdout == "wrote made.png\n", made.stderr
    with Image.open(tmp_path / "made.png") as picture:
        assert np.array(picture).std() > 1
