"""Every kind of pipeline samples what plain diffusers samples: the same noise, prompts, steps and guidance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion.evaluation.task import fixed_inputs, prompts_of
from diffusion.pipeline.family import PipelineFamily
from diffusion.pipeline.inputs.prompts import prompt_inputs
from diffusion.pipeline.sampling.onnx_runner import Pipeline, sample
from nas.elastic import call
from nas.export import Export, parse_formats
from nas.models import load_model
from tests.diffusion.kinds import MAKERS, plain, write_kind


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    return {name: write_kind(name, root / name) for name in MAKERS}


def open_plain(folder: Path) -> Any:
    """Load a folder with diffusers alone; a scheduler that adds noise at every step gives way to its relative."""
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline as Stock
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    stock: Any = Stock.from_pretrained(folder, local_files_only=True)
    if isinstance(stock.scheduler, DDPMScheduler):
        stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config)
    return stock


@torch.no_grad()
@pytest.mark.parametrize("name", MAKERS)
def test_the_largest_subnet_samples_what_diffusers_samples(folders: dict[str, Path], name: str) -> None:
    model = load_model(folders[name])
    family, largest = model.family, model.space.largest()
    assert isinstance(family, PipelineFamily)
    inputs = fixed_inputs(model, 3)
    made = call(model.extract(largest), inputs)
    assert largest["steps"] == 4
    scale = family.sampling.scale
    wanted = plain(open_plain(folders[name]), inputs, list(prompts_of(model)[:3]), 4, scale)
    torch.testing.assert_close((made / 2 + 0.5).clamp(0, 1), wanted, rtol=0, atol=1e-5)
    # What a picture is made of matters: with the others' prompts or classes it is another picture.
    for key in inputs.keys() - {"prompt_mask", "negative_mask"}:
        other = inputs[key.replace("negative", "prompt")].roll(1, 0)
        turned = call(model.extract(largest), {**inputs, key: other})
        assert float((turned - made).abs().max()) > 1e-4, key


@torch.no_grad()
@pytest.mark.parametrize("name", ["sdxl", "sdxl-negative", "ddpm", "dit", "pixart"])
def test_an_export_is_run_by_the_runner_and_by_diffusers(
    folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    model = load_model(folders[name])
    family = model.family
    assert isinstance(family, PipelineFamily)
    changed = {"steps": 4, "guided": 0.5, "reuse": 2}
    own = {key: choice for key, choice in changed.items() if key in model.space}
    subnet = model.space.subnet({**model.space.largest(), **family.denoiser.uniform(0.5), **own})
    manifest = Export(model=model, subnet=subnet, formats=parse_formats("onnx,safetensors")).write(
        tmp_path / "out"
    )
    programs = {step.program for step in family.passes(subnet)}
    assert {f"{program}.onnx" for program in programs} <= {*manifest.files}
    inputs = fixed_inputs(model, 2)
    wanted = call(model.extract(subnet), inputs)
    runner = Pipeline(tmp_path / "out", threads=1)
    made = sample(runner.sampling, runner.run, {key: x.numpy() for key, x in inputs.items()})
    assert np.abs(made - wanted.numpy()).max() <= 1e-4 * float(wanted.abs().max())
    prompts = ["a ship", "a cat"] if "prompt" in inputs else ["boat", "7"]
    given, known = runner.inputs(prompts), prompt_inputs(folders[name], family.conditions, prompts)
    assert given.keys() == known.keys()
    assert all(np.array_equal(given[key], x.numpy()) for key, x in known.items())
    # Plain diffusers knows neither an interval of guidance nor features that are used again.
    plainly = {key: model.space[key].choices[-1] for key in ("guided", "reuse") if key in model.space}
    all_steps = model.space.subnet({**subnet, **plainly})
    stock = open_plain(tmp_path / "out")
    part = getattr(stock, family.kind.denoiser)
    assert type(part).__name__ == f"Subnet{family.kind.network}"
    pictures = plain(stock, inputs, list(prompts_of(model)[:2]), 4, family.sampling.scale)
    wanted = call(model.extract(all_steps), inputs)
    torch.testing.assert_close((wanted / 2 + 0.5).clamp(0, 1), pictures, rtol=0, atol=1e-5)
    if name == "sdxl":
        _run_card(tmp_path / "out")


def _run_card(folder: Path) -> None:
    """Run in a fresh process what the model card says."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in card.split("```python")[1:]]
    assert len(blocks) == 3 and "import diffusion" in blocks[0]
    code = "".join(blocks) + "print(picture.shape, pictures.shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout == "torch.Size([1, 3, 16, 16]) (1, 16, 16, 3)\n", done.stderr
