"""Subnets as diffusers' own models: stock where a configuration says them, else with the subnet in config.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file

from diffusion.denoisers.native_config import native_config
from diffusion.denoisers.subnets import SubnetUNet2DConditionModel, to_diffusers
from diffusion.denoisers.transformer import diffusion_transformer
from diffusion.denoisers.unet import DiffusionUNet, diffusion_unet
from nas.elastic import Supernet, call
from nas.errors import UsageError
from nas.space import Subnet
from tests.conformance.diffusion import DIT, SD1, SD2, SDXL, UNCONDITIONAL
from tests.conformance.families import randomise
from tests.diffusion.denoisers.test_unet import _run


def _supernet(family: DiffusionUNet) -> Supernet:
    supernet = Supernet(family).eval()
    randomise(supernet)
    return supernet


def _same(supernet: Supernet, subnet: Subnet, model: Any) -> bool:
    inputs = supernet.family.example_input(subnet, 2)
    with torch.no_grad():
        return torch.equal(_run(model, inputs), supernet(inputs, subnet))


@pytest.mark.parametrize("name", ["largest", "bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny"])
def test_named_subnets_are_plain_configurations(name: str, tmp_path: Path) -> None:
    family = diffusion_unet(SD1, tokens=5)
    supernet, subnet = _supernet(family), family.named()[name]
    model = to_diffusers(family, subnet, supernet.extract(subnet))
    assert type(model) is UNet2DConditionModel
    model.save_pretrained(tmp_path)
    loaded = UNet2DConditionModel.from_pretrained(tmp_path)
    assert _same(supernet, subnet, loaded)
    layers = {"largest": 2}.get(name, 1)
    assert loaded.config["layers_per_block"] == layers
    assert (loaded.config["mid_block_type"] is None) == (name in ("bk-sdm-small", "bk-sdm-tiny"))
    assert len(loaded.config["block_out_channels"]) == (2 if name == "bk-sdm-tiny" else 3)


@pytest.mark.parametrize(
    ("config", "choices"),
    [
        (SD1, {"down_blocks.1.attentions.0.depth": 0, "down_blocks.1.attentions.1.depth": 0}),
        (SD1, {"stage0.layers": 1, "stages": 2}),
        (SDXL, {"depth": 2}),
        (UNCONDITIONAL, {"heads": 0, "layers": 1}),
        (UNCONDITIONAL, {"mid_block.attentions.0.heads": 0}),
    ],
)
def test_other_subnets_with_a_stock_configuration(config: dict[str, Any], choices: dict[str, Any]) -> None:
    family = diffusion_unet(config, tokens=5, depth=(0, 0.7, 1))
    if config is SDXL:  # its first stage has no transformers of two blocks
        choices = {d.name: 2 for d in family.space.dimensions if d.name.endswith("depth")}
    supernet, subnet = _supernet(family), family.uniform(1, **choices)
    assert subnet != family.space.largest()
    model = to_diffusers(family, subnet, supernet.extract(subnet))
    assert type(model) in (UNet2DConditionModel, UNet2DModel)
    assert _same(supernet, subnet, model)


@pytest.mark.parametrize("config", [SD1, SDXL, UNCONDITIONAL])
def test_every_other_subnet_travels_in_its_configuration(config: dict[str, Any], tmp_path: Path) -> None:
    family = diffusion_unet(config, tokens=5, resnet=(0, 0.5, 1), sampling={"steps": [4, 8]})
    supernet, rng = _supernet(family), np.random.default_rng(1)
    for subnet in (family.space.smallest(), family.space.sample(rng)):
        assert native_config(family, subnet) is None
        model = to_diffusers(family, subnet, supernet.extract(subnet))
        assert type(model).__name__ == f"Subnet{config['_class_name']}"
        folder = tmp_path / subnet.digest / str(len(subnet))
        model.save_pretrained(folder)
        read = json.loads((folder / "config.json").read_text())
        assert read["subnet"]["choices"] == dict(subnet)
        for low_memory in (True, False):
            loaded = type(model).from_pretrained(folder, low_cpu_mem_usage=low_memory)
            assert _same(supernet, subnet, loaded)
    assert (
        call(supernet.extract(family.space.smallest()), family.example_input(family.space.smallest()))
        .isfinite()
        .all()
    )


@pytest.mark.parametrize("config", [SD2, DIT])
def test_weights_of_few_bits_travel_packed(config: dict[str, Any], tmp_path: Path) -> None:
    make: Any = diffusion_transformer if config is DIT else diffusion_unet
    options = {} if config is DIT else {"resnet": (0, 0.5, 1)}
    family = make(config, tokens=5, bits=(4, 8, 32), **options)
    supernet = _supernet(family)
    for subnet in (family.space.smallest(), family.uniform(1, bits=8)):
        network = supernet.extract(subnet)
        model = to_diffusers(family, subnet, network)
        folder = tmp_path / subnet.digest
        model.save_pretrained(folder)
        (file,) = folder.glob("*.safetensors")
        state = load_file(file)
        assert {t.dtype for n, t in state.items() if n.endswith("packed_weight")} <= {torch.int8, torch.uint8}
        assert sum(t.nbytes for t in state.values()) == supernet.count(subnet).size_bytes
        for low_memory in (True, False):
            loaded = type(model).from_pretrained(folder, low_cpu_mem_usage=low_memory)
            assert _same(supernet, subnet, loaded)
    half = type(model).from_pretrained(folder, torch_dtype=torch.bfloat16)
    with torch.no_grad():
        inputs = {
            n: x.bfloat16() if x.is_floating_point() else x
            for n, x in family.example_input(subnet, 1).items()
        }
        assert _run(half, inputs).isfinite().all()


def test_a_subnet_that_is_none_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match="choices"):
        SubnetUNet2DConditionModel.from_config({**SD1, "subnet": {"steps": 3}})


def test_a_pipeline_loads_in_a_fresh_process_after_one_import(tmp_path: Path) -> None:
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    family = diffusion_unet(UNCONDITIONAL)
    supernet, subnet = _supernet(family), family.uniform(0.5)
    unet = to_diffusers(family, subnet, supernet.extract(subnet))
    assert isinstance(unet, UNet2DModel)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    index = json.loads((tmp_path / "pipeline" / "model_index.json").read_text())
    assert index["unet"] == ["diffusion", "SubnetUNet2DModel"]
    inputs = family.example_input(subnet, 1)
    torch.save(dict(inputs), tmp_path / "inputs.pt")
    code = f"""
import torch, diffusion
from diffusers import DiffusionPipeline
assert "torch" in dir() and "diffusion.denoisers.subnets" not in __import__("sys").modules
pipeline = DiffusionPipeline.from_pretrained({str(tmp_path / "pipeline")!r})
inputs = torch.load({str(tmp_path / "inputs.pt")!r}, weights_only=True)
torch.set_num_threads(1)
with torch.no_grad():
    torch.save(pipeline.unet(**inputs).sample, {str(tmp_path / "output.pt")!r})
images = pipeline(batch_size=1, num_inference_steps=2, output_type="np").images
assert images.shape == (1, 8, 8, 3)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
    with torch.no_grad():
        expected = supernet(inputs, subnet)
    np.testing.assert_allclose(
        torch.load(tmp_path / "output.pt", weights_only=True), expected, rtol=0, atol=1e-6
    )
