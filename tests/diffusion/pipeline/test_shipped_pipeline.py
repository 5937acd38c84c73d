"""The pipeline that ships: it is whole, small, says what it is, and makes what it is asked for."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from diffusion.evaluation.quality import classifier, evaluate_match
from diffusion.pipeline.files.folder import (
    DEFAULT_PIPELINE,
    check_safetensors,
    find_pipeline,
    load_pipeline,
    read_info,
    shipped,
)
from diffusion.pipeline.sampling.generate import SamplingSettings, generate


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(DEFAULT_PIPELINE)


def test_it_is_small_whole_and_names_no_place():
    folder = find_pipeline(DEFAULT_PIPELINE)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20 * 2**20
    for path in files:
        if path.suffix == ".safetensors":
            check_safetensors(path)
        else:
            # No string is an absolute path; the vocabulary has every printable byte, "/" among them.
            assert not re.search(r'"(/|[A-Za-z]:\\)[A-Za-z]{2}', path.read_text(encoding="utf-8")), path
    assert (folder / "README.md").is_file()
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".ckpt", ".pkl", ".py")]
    assert set(shipped()) >= {DEFAULT_PIPELINE}


def test_its_parts_are_those_of_its_description(pipeline):
    info = read_info(find_pipeline(DEFAULT_PIPELINE))
    assert (info["name"], info["data"]) == (DEFAULT_PIPELINE, "cifar10")
    assert info["prompts"] == [
        f"a photo of {'an' if name[0] in 'aeiou' else 'a'} {name}" for name in classifier().classes
    ]
    index = json.loads((find_pipeline(DEFAULT_PIPELINE) / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    assert index["vae"] == ["diffusion", "PatchAutoencoder"]
    assert sum(weight.numel() for weight in pipeline.unet.parameters()) == pytest.approx(4.2e6, rel=0.02)
    assert pipeline.scheduler.alphas_cumprod[-1] == 0


def test_its_autoencoder_keeps_real_pictures():
    from sklearn.datasets import load_sample_images

    pipeline = load_pipeline(DEFAULT_PIPELINE)
    pictures = [
        torch.from_numpy(np.array(each[:416, :640])).permute(2, 0, 1) for each in load_sample_images().images
    ]
    x = torch.stack(pictures).float() / 127.5 - 1
    x = torch.nn.functional.interpolate(x, scale_factor=0.125, mode="area")
    with torch.no_grad():
        error = (pipeline.vae(x).sample - x).square().mean()
    assert float(10 * torch.log10(4 / error)) > 30


def test_most_images_show_what_was_asked_for(pipeline):
    found = evaluate_match(pipeline, images=40, settings=SamplingSettings(steps=25, guidance=5.0))
    assert found.images == 40
    assert found.percent >= 65


def test_images_of_one_prompt_differ(pipeline):
    images = generate(pipeline, ["a photo of a ship"] * 4, range(4), SamplingSettings(steps=10)).astype(int)
    for other in images[1:]:
        assert np.abs(images[0] - other).mean() > 10


def test_its_table_is_near_the_front_and_of_these_weights():
    """Two rows measured again are what the table says; its predictor errs little where searches look."""
    from diffusion.evaluation.task import PsnrEvaluator
    from nas.models import load_model
    from nas.search.testbed.scorer import predictor_errors

    model = load_model(DEFAULT_PIPELINE)
    table = model.table()
    assert table is not None and len(table) == 1000 and [*table.values] == ["psnr", "latent"]
    evaluator = PsnrEvaluator()
    cheap = np.argsort(table.macs)
    for row in cheap[[10, 600]]:
        subnet = model.space.from_codes(table.codes[row])
        measured = evaluator(model, model.extract(subnet), subnet)
        assert measured == pytest.approx(table.values["psnr"][row], abs=0.1)
    assert predictor_errors(model, model.task.quality("psnr"))["mean_abs"] < 0.7
