from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

from diffusion.pipeline.files.folder import (
    find_pipeline,
    load_pipeline,
    read_info,
    shipped,
    weights_digest,
    write_pipeline,
)
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from nas.errors import NasError, UsageError
from tests.diffusion.small import tiny_pipeline, write_tiny
from tests.diffusion.tiny import as_bins

PROMPT = "a photo of a dark"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("pipeline") / "tiny")


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def images(pipeline):
    return generate(pipeline, [PROMPT] * 2, [1, 2], SamplingSettings(steps=2))


def test_a_written_pipeline_makes_the_same_images(folder):
    assert (images(load_pipeline(folder)) == images(tiny_pipeline())).all()
    assert read_info(folder)["name"] == "tiny"


def test_plain_diffusers_loads_it_after_one_import(folder, tmp_path):
    code = f"""
import diffusion
from diffusers import StableDiffusionPipeline
import torch
pipeline = StableDiffusionPipeline.from_pretrained({str(folder)!r})
image = pipeline("a photo of a dark", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
print(type(pipeline).__name__, image.size)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "StableDiffusionPipeline (16, 16)"


def test_no_place_on_this_machine_is_told(folder, tmp_path):
    write_pipeline(tmp_path / "again", load_pipeline(folder), {})
    conditioning = [
        file for file in (tmp_path / "again").rglob("*.json") if str(folder.parent) in file.read_text()
    ]
    assert conditioning == []


def test_a_run_and_a_shipped_name_are_found(folder, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copytree(folder, tmp_path / "run" / "model")
    assert find_pipeline(tmp_path / "run") == tmp_path / "run" / "model"
    for name, path in shipped().items():
        assert find_pipeline(name) == path


def test_nothing_is_overwritten(folder):
    with pytest.raises(UsageError, match="already exists"):
        write_pipeline(folder, tiny_pipeline(), {})


def test_no_pipeline_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no pipeline 'nothing'"):
        load_pipeline("nothing")
    with pytest.raises(UsageError, match=r"no model_index\.json"):
        load_pipeline(tmp_path)


def change_index(folder, **parts):
    path = folder / "model_index.json"
    index = {**json.loads(path.read_text()), **parts}
    path.write_text(json.dumps({key: value for key, value in index.items() if value != "gone"}))


def test_a_pipeline_without_a_unet_is_refused_by_naming_its_parts(copied):
    change_index(copied, unet="gone")
    with pytest.raises(
        UsageError, match="has no UNet: its parts are scheduler, text_encoder, tokenizer, vae"
    ):
        load_pipeline(copied)


@pytest.mark.parametrize("library", ["evil", "os.path", "diffusion.nothing"])
def test_code_of_others_is_never_run(copied, library):
    (copied / "vae" / f"{library}.py").write_text("raise SystemExit('ran')")
    change_index(copied, vae=[library, "Autoencoder"])
    with pytest.raises(UsageError, match="never run"):
        load_pipeline(copied)


def test_a_pickle_is_refused_without_a_look_inside(copied):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    (copied / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    file = copied / "unet" / "diffusion_pytorch_model.bin"
    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UsageError, match="unpickling it could run any code"):
        load_pipeline(copied)
    torch.save({"conv_in.weight": Trap()}, file)
    with pytest.raises(UsageError, match="unpickling it could run any code"):
        load_pipeline(copied)


def test_a_pipeline_of_bin_files_makes_the_same_images(folder, copied):
    as_bins(copied)
    assert not [*copied.glob("*/*.safetensors")]
    assert (images(load_pipeline(copied)) == images(load_pipeline(folder))).all()
    assert weights_digest(copied) != weights_digest(folder)


@pytest.mark.parametrize("kept", [0, 5, 2000])
def test_a_cut_off_file_of_weights_is_named(copied, kept):
    path = copied / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(NasError, match="is no whole safetensors file") as error:
        load_pipeline(copied)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_parts_and_weights_of_another_size_are_refused(copied):
    config = copied / "unet" / "config.json"
    config.write_text(config.read_text().replace('"in_channels": 8', '"in_channels": 9'))
    with pytest.raises(NasError, match="cannot be loaded"):
        load_pipeline(copied)
    shutil.rmtree(copied / "unet")
    with pytest.raises(NasError, match="is missing"):
        load_pipeline(copied)


def test_broken_weights_cost_a_sentence_and_no_image(folder):
    pipeline = load_pipeline(folder)
    with torch.no_grad():
        pipeline.unet.conv_out.bias[0] = float("nan")
    with pytest.raises(NasError, match="the image of seed 1 is not finite"):
        images(pipeline)
