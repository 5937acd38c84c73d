"""Recovery of one subnet beside the frozen original: its weights, or low-rank adapters that are merged at the end."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from diffusion.compress import prune
from diffusion.compress.pruning import PipelinePruneConfig
from diffusion.denoisers.subnets import to_diffusers
from diffusion.denoisers.unet import diffusion_unet
from diffusion.pipeline.files.folder import load_pipeline, read_info
from diffusion.training.distil import distil, load_recipe
from diffusion.training.distil.lora import FILE, adapt, adapted, write_adapters
from diffusion.training.distil.one import ADAPTERS
from nas.compress.lora import merged
from nas.data.dataset import open_data
from nas.elastic import Supernet
from nas.errors import UsageError
from tests.conformance.diffusion import SD1
from tests.conformance.families import randomise
from tests.diffusion.cli.test_diffusion_commands import refused
from tests.diffusion.denoisers.test_unet import _run
from tests.diffusion.small import CLASSES, tiny_pipeline, write_pictures, write_tiny
from tests.diffusion.training.test_distil import equal, recipe

HALF = {"subnet": "half", "steps": 4}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "shades")


@pytest.fixture(scope="module")
def data(pictures: Path) -> Any:
    return open_data(str(pictures))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("start") / "tiny")


@pytest.fixture(scope="module")
def pruned(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned") / "half"
    prune(start, folder, PipelinePruneConfig(subnet="half", images=0, samples=2, steps=2))
    return folder


@pytest.fixture(scope="module")
def run(data: Any, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "half"
    distil(recipe(**HALF), data, folder, start=start)
    return folder


def unet(folder: Path) -> dict[str, torch.Tensor]:
    return load_pipeline(folder).unet.state_dict()


def losses(folder: Path, name: str) -> list[float]:
    with open(folder / "log.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_a_run_leaves_a_pipeline_of_the_subnet(run: Path, start: Path) -> None:
    made, original = load_pipeline(run), load_pipeline(start)
    assert type(made.unet).__name__ == "SubnetUNet2DConditionModel"
    assert sum(p.numel() for p in made.unet.parameters()) < 0.75 * sum(
        p.numel() for p in original.unet.parameters()
    )
    assert equal(made.vae.state_dict(), original.vae.state_dict())
    info = read_info(run / "model")
    assert info["recovered"] == {"data": "shades", "steps": 4, "batch_size": 4, "lora_rank": 0}
    assert "space" not in info
    with Image.open(run / "samples" / "0000004.png") as picture:
        assert picture.size == (len(CLASSES) * 18 - 2, 2 * 18 - 2)
    assert not (run / ADAPTERS).exists()


def test_what_was_pruned_is_recovered_from_its_own_weights(
    data: Any, start: Path, pruned: Path, tmp_path: Path
) -> None:
    still = recipe(subnet=str(pruned), steps=1, lr=1e-12, weight_decay=0.0)
    distil(still, data, tmp_path / "still", start=start)
    before, after = unet(pruned), unet(tmp_path / "still")
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    for path in (tmp_path / "still").rglob("*.json"):
        assert str(pruned) not in path.read_text()
    chosen = recipe(
        subnet=str(pruned), steps=40, batch_size=8, lr=3e-3, task_weight=0.0, log_every=10, sample_every=40
    )
    distil(chosen, data, tmp_path / "run", start=start)
    outputs = losses(tmp_path / "run", "output")
    assert outputs[-1] < 0.7 * outputs[0]


def test_adapters_alone_are_trained_and_merged(data: Any, start: Path, pruned: Path, tmp_path: Path) -> None:
    chosen = recipe(
        subnet=str(pruned),
        lora_rank=2,
        steps=40,
        batch_size=8,
        lr=1e-2,
        task_weight=0.0,
        log_every=10,
        sample_every=40,
    )
    distil(chosen, data, tmp_path / "run", start=start)
    outputs = losses(tmp_path / "run", "output")
    assert outputs[-1] < 0.9 * outputs[0]
    before, after = unet(pruned), unet(tmp_path / "run")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    names = {f"{name}.weight" for name in adapted(load_pipeline(pruned).unet)}
    assert changed == names
    adapters = load_file(tmp_path / "run" / ADAPTERS / FILE)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    first, second = (adapters[f"{name}.lora_{side}.weight"] for side in "AB")
    assert first.shape[0] == second.shape[1] == 2
    torch.testing.assert_close(
        after[f"{name}.weight"], before[f"{name}.weight"] + second @ first, atol=1e-6, rtol=0
    )
    # Diffusers loads them onto the pruned pipeline, where they make the same network.
    pipeline = load_pipeline(pruned)
    pipeline.unet.load_lora_adapter(str(tmp_path / "run" / ADAPTERS), prefix=None, use_safetensors=True)
    inputs = (torch.randn(1, 8, 4, 4), torch.tensor([300.0]), torch.randn(1, 12, 8))
    with torch.no_grad():
        torch.testing.assert_close(
            pipeline.unet(*inputs).sample,
            load_pipeline(tmp_path / "run").unet(*inputs).sample,
            atol=1e-5,
            rtol=1e-4,
        )


def test_fresh_adapters_change_nothing_and_come_off() -> None:
    network = tiny_pipeline().unet.eval()
    names = [*network.state_dict()]
    inputs = (torch.randn(1, 8, 4, 4), torch.tensor([300.0]), torch.randn(1, 12, 8))
    with torch.no_grad():
        before = network(*inputs).sample
        adapt(network, 3, 0)
        assert torch.equal(network(*inputs).sample, before)
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    assert any(".conv1." in name for name in trained)
    assert [*merged(network).state_dict()] == names


def test_adapters_of_a_subnet_that_is_stock_fit_the_stock_network(tmp_path: Path) -> None:
    family = diffusion_unet(SD1, tokens=5)
    subnet = family.named()["bk-sdm-tiny"]
    supernet = Supernet(family)
    randomise(supernet)
    stock: Any = to_diffusers(family, subnet, supernet.extract(subnet))
    network: Any = supernet.extract(subnet)
    adapt(network, 2, 0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.1)
    write_adapters(tmp_path, network, stock=True)
    inputs = family.example_input(subnet, 1)
    with torch.no_grad():
        plain = _run(stock, inputs)
        stock.load_lora_adapter(str(tmp_path), prefix=None, use_safetensors=True)
        wanted = network(**inputs)
        torch.testing.assert_close(_run(stock, inputs), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(merged(network)(**inputs), wanted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain, wanted, atol=1e-3)


def test_presets_are_those_that_were_published() -> None:
    bk, lora = load_recipe("bk-sdm"), load_recipe("lora")
    assert (bk.task_weight, bk.output_weight, bk.feature_weight) == (1.0, 1.0, 1.0)
    assert bk.cooldown_start == bk.steps
    assert bk.subnet in diffusion_unet(SD1).named()
    assert lora.lora_rank > 0 == bk.lora_rank


def test_wrong_inputs_cost_a_sentence(
    nas_run: Any, run: Path, start: Path, pictures: Path, data: Any, tmp_path: Path
) -> None:
    def conditioning(*args: Any) -> Any:
        common = ("--recipe", "lora", "--data", pictures, "--device", "cpu", "--start", start)
        return nas_run("diffusion", "distill", *common, "--output", tmp_path / "new", *args)

    refused(conditioning(), "name it with --subnet")
    refused(conditioning("--subnet", "elephant"), "there is no subnet 'elephant'")
    refused(conditioning("--subnet", "half", "--lora", "-1"), "-1 is not in the range")
    refused(
        conditioning("--subnet", "half", "--set", "gradient_checkpointing=2"), "expected a value of type bool"
    )
    with pytest.raises(UsageError, match="lora_rank is -1, expected at least 0"):
        recipe(lora_rank=-1)
    stopped = shutil.copytree(run, tmp_path / "stopped")
    shutil.rmtree(stopped / "model")
    with pytest.raises(UsageError, match="trains one subnet; resume it with --subnet"):
        distil(recipe(), data, stopped, resume=True)
    with pytest.raises(UsageError, match="another configuration"):
        distil(recipe(**HALF, lora_rank=2), data, stopped, resume=True)
    (stopped / "subnet.json").unlink()
    with pytest.raises(UsageError, match="trains all subnets; resume it without --subnet"):
        distil(recipe(**HALF), data, stopped, resume=True)


def test_another_original_than_that_of_the_pruned_is_refused(pruned: Path, data: Any, tmp_path: Path) -> None:
    from diffusion.pipeline.files.folder import write_pipeline
    from tests.diffusion.small import tiny_recipe

    other = tmp_path / "other"
    write_pipeline(other, tiny_pipeline(tiny_recipe(width=16)), {"name": "other"})
    with pytest.raises(UsageError):
        distil(recipe(subnet=str(pruned)), data, tmp_path / "run", start=other)
