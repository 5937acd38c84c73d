"""An exported pipeline: loaded by diffusers, run by the small runner, read again by every command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion.evaluation.task import fixed_inputs
from diffusion.pipeline.artifact import sampling_facts
from diffusion.pipeline.family import PipelineFamily
from diffusion.pipeline.inputs.prompts import prompt_inputs
from diffusion.pipeline.sampling.onnx_runner import Pipeline, sample
from nas.elastic import call
from nas.export import Export, load_artifact, parse_formats
from nas.families import get_family
from nas.latency.runtimes import onnx_files as files
from nas.latency.runtimes.sequence import read_sequence
from nas.models import Model, load_model


@pytest.fixture(scope="module")
def model(pipeline: Path) -> Model:
    return load_model(pipeline)


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller UNet that is guided in the middle and uses its deep features twice."""
    folder = tmp_path_factory.mktemp("exported") / "small"
    choices = {**model.space.smallest(), "mid": True, "steps": 4, "guided": 0.5, "reuse": 2}
    subnet = model.space.subnet({**model.space.largest(), **choices})
    Export(model=model, subnet=subnet, formats=parse_formats("onnx")).write(folder)
    return folder


@torch.no_grad()
def test_the_runner_samples_what_the_network_samples(model: Model, exported: Path) -> None:
    subnet = model.space.read(exported / "subnet.json")
    inputs = fixed_inputs(model, 3)
    wanted = call(model.extract(subnet), inputs).numpy()
    runner = Pipeline(exported, threads=1)
    made = sample(runner.sampling, runner.run, {name: x.numpy() for name, x in inputs.items()})
    assert np.abs(made - wanted).max() <= 1e-4 * np.abs(wanted).max()
    prompts = ["a photo of a ship", "cat"]
    family = model.family
    assert isinstance(family, PipelineFamily)
    wanted = prompt_inputs(exported, family.conditions, prompts)
    given = runner.inputs(prompts)
    assert given.keys() == wanted.keys()
    assert all(np.array_equal(given[name], x.numpy()) for name, x in wanted.items())
    with pytest.raises(SystemExit, match="at most 8 are taken"):
        runner.inputs(["a red apple on a wooden table"])
    assert runner(["a ship"], [1]).shape == (1, 16, 16, 3)


@torch.no_grad()
def test_weights_of_a_large_pipeline_stand_beside_its_programs(
    model: Model, tmp_path: Path, nas_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 20_000)
    subnet = model.space.subnet({**model.space.smallest(), "steps": 1})
    folder = tmp_path / "large"
    manifest = Export(model=model, subnet=subnet, formats=parse_formats("onnx")).write(folder)
    assert {"unet.onnx", "unet.onnx.data"} <= {*manifest.files}
    assert manifest.files["unet.onnx.data"]["bytes"] > 10_000
    inputs = fixed_inputs(model, 2)
    wanted, runner = call(model.extract(subnet), inputs).numpy(), Pipeline(folder, threads=1)
    arrays = {name: x.numpy() for name, x in inputs.items()}
    made = sample(runner.sampling, runner.run, arrays)
    assert np.abs(made - wanted).max() <= 1e-4 * np.abs(wanted).max()
    (folder / "unet.onnx.data").write_bytes(b"damaged")
    code, out, err = nas_run("show", folder, "--json")
    assert json.loads(out)["files"]["unet.onnx.data"] != "ok", (code, err)


def test_programs_are_written_for_torch_too(model: Model, exported: Path, tmp_path: Path) -> None:
    subnet = model.space.read(exported / "subnet.json")
    manifest = Export(model=model, subnet=subnet, formats=parse_formats("pt2")).write(tmp_path / "out")
    names = {"text_encoder", "unet", "unet_shallow", "vae_decoder"}
    assert {f"{name}.pt2" for name in names} <= {*manifest.files}
    assert {row["format"] for row in manifest.parity} >= {f"pt2 {name}" for name in names}


def test_an_artifact_says_what_runs(model: Model, exported: Path) -> None:
    runs = [(file.name, times, batch) for file, times, batch in read_sequence(exported / "model.sequence")]
    assert runs == [
        ("text_encoder.onnx", 1, 2),
        ("unet.onnx", 1, 1),
        ("unet.onnx", 1, 2),
        ("unet_shallow.onnx", 1, 2),
        ("unet.onnx", 1, 1),
        ("vae_decoder.onnx", 1, 1),
    ]
    manifest = json.loads((exported / "manifest.json").read_text())
    assert {row["format"] for row in manifest["parity"]} >= {"onnx unet_shallow", "safetensors unet"}
    assert "unet/config.json" in manifest["files"]


@torch.no_grad()
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_diffusers_loads_and_runs_it(model: Model, tmp_path: Path, share: float) -> None:
    """In the stock format where a stock configuration says the UNet, else with the subclass."""
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline as Stock

    import diffusion  # noqa: F401 (makes the subclass known)

    family = model.family
    assert isinstance(family, PipelineFamily)
    widths = dict(family.denoiser.uniform(share))
    subnet = model.space.subnet({**model.space.largest(), **widths, "steps": 2})
    Export(model=model, subnet=subnet, formats=parse_formats("safetensors")).write(tmp_path / "out")
    loaded: Any = Stock.from_pretrained(tmp_path / "out", safety_checker=None, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded.unet).__name__.startswith("Subnet") == (share < 1)
    inputs = fixed_inputs(model, 2)
    prompts = ["a photo of a red apple on a wooden table", "a small house by a lake in the mountains"]
    made = loaded(
        prompts, num_inference_steps=2, guidance_scale=2.0, latents=inputs["latents"], output_type="pt"
    ).images
    wanted = (call(model.extract(subnet), inputs) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_fresh_process_loads_packed_weights_after_one_import(model: Model, tmp_path: Path) -> None:
    family = model.family
    assert isinstance(family, PipelineFamily)
    choices = {
        **model.space.largest(),
        "steps": 2,
        "attention.bits": 8,
        "feed_forward.bits": 4,
        "resnet.bits": 4,
    }
    subnet = model.space.subnet(choices)
    manifest = Export(model=model, subnet=subnet, formats=parse_formats("safetensors")).write(
        tmp_path / "out"
    )
    full = model.supernet.count(model.space.largest()).size_bytes
    assert manifest.size_bytes < 0.6 * full
    code = f"""
import torch, diffusion
from diffusers import DiffusionPipeline
torch.set_num_threads(1)
pipeline = DiffusionPipeline.from_pretrained({str(tmp_path / "out")!r}, safety_checker=None)
latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
prompt = "a photo of a red apple on a wooden table"
made = pipeline(prompt, num_inference_steps=2, guidance_scale=2.0, latents=latents, output_type="pt").images
torch.save(made, {str(tmp_path / "made.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
    made = torch.load(tmp_path / "made.pt", weights_only=True)
    wanted = (call(model.extract(subnet), fixed_inputs(model, 1)) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)
    loaded = load_artifact(tmp_path / "out")
    assert torch.equal(
        call(loaded, fixed_inputs(model, 1)), call(model.extract(subnet), fixed_inputs(model, 1))
    )
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 1.1 * manifest.size_bytes + 60_000
    original = (call(model.extract(model.space.largest()), fixed_inputs(model, 1)) / 2 + 0.5).clamp(0, 1)
    assert (original - wanted).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(
    "scheduler",
    [
        "DDIMScheduler",
        "PNDMScheduler",
        "EulerDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
    ],
)
def test_mixing_is_what_a_scheduler_does(model: Model, scheduler: str) -> None:
    family = get_family("diffusion", **{**model.config["options"], "schedulers": [scheduler]})
    assert isinstance(family, PipelineFamily)
    network, subnet = model.supernet.extract(model.space.largest()), family.space.largest()
    made = {name: program.view(network) for name, program in family.programs.items()}
    inputs = fixed_inputs(model, 2)
    wanted = family.compose({n: (lambda x, own=own: call(own, x)) for n, own in made.items()}, subnet)(inputs)

    def run(name: str, feed: Any) -> np.ndarray:
        tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in feed.items()}
        return call(made[name], tensors.get("input", tensors)).numpy()

    arrays = {name: x.numpy() for name, x in inputs.items()}
    given = sample(sampling_facts(family, subnet), run, arrays)
    np.testing.assert_allclose(given, wanted.numpy(), rtol=0, atol=2e-4 * float(wanted.abs().max()))


def test_the_commands_read_an_artifact(exported: Path, nas_run: Callable) -> None:
    code, out, err = nas_run("show", exported, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert set(shown["files"].values()) == {"ok"} and shown["architecture"]["general"]["steps"] == 4
    code, out, err = nas_run("compare", exported, exported, "--threads", "1", "--json")
    assert code == 0, err
    assert all(network["latency"][-1]["median_ms"] > 0 for network in json.loads(out)["networks"])
