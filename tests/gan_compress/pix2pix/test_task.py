"""Image-to-image generators are searched, measured, exported and compared by the commands of every other model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_compress.pix2pix.pairs import blur, psnr
from gan_compress.pix2pix.task import DISTANCE, PSNR, Translation
from nas.data.dataset import open_data
from nas.errors import UsageError
from nas.metrics.features import feature_space
from nas.models import Model, Preprocessing, load_model
from tests.gan_compress.pix2pix.conftest import save_tiny


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 noisy pictures of 16 pixels, in one class."""
    folder = tmp_path_factory.mktemp("pictures") / "all"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    return folder.parent


def test_qualities_compare_with_the_true_pictures(tiny: Model, pictures: Path) -> None:
    data, subnet = open_data(str(pictures)), tiny.space.largest()
    network = tiny.extract(subnet)
    truth = data.images("val").images.float() / 127.5 - 1
    with torch.inference_mode():
        made = network(blur(truth))
        wanted = {
            "psnr": float(psnr(made, truth).mean()),
            "distance": float(feature_space().distances(made, truth).mean()),
        }
    for quality in (PSNR, DISTANCE):
        evaluator = tiny.task.evaluator(tiny, quality, data)
        assert evaluator(tiny, network, subnet) == pytest.approx(wanted[quality.name], rel=1e-4)
        assert pickle.loads(pickle.dumps(evaluator))(tiny, network, subnet) == pytest.approx(
            wanted[quality.name]
        )
        assert "validation pictures" in evaluator.data and "blur" in evaluator.data
    copied = tiny.task.evaluator(tiny, PSNR, data)(tiny, lambda x: x, subnet)
    assert copied == pytest.approx(float(psnr(blur(truth), truth).mean()), rel=1e-4)
    perfect = tiny.task.evaluator(tiny, PSNR, data).calibration
    assert perfect is not None and perfect.shape == (28, 3, 16, 16) and perfect.dtype == torch.uint8


def test_psnr_leads_and_better_points_the_right_way() -> None:
    task = Translation()
    assert task.quality() == PSNR and PSNR.sign == 1 and DISTANCE.sign == -1
    assert PSNR.text(26.1234) == "26.12 dB" and "mbv3-cifar10" in DISTANCE.label
    assert all(task.needs_data(quality) for quality in task.qualities)


def test_a_model_without_pairs_and_a_missing_data_cost_one_sentence(
    tiny: Model, tmp_path: Path, pictures
) -> None:
    unknown = load_model(save_tiny(tmp_path / "unknown", pairs=None))
    with pytest.raises(UsageError, match="does not say what its inputs are made of"):
        unknown.task.evaluator(unknown, PSNR, open_data(str(pictures)))
    with pytest.raises(UsageError, match="--data"):
        tiny.task.evaluator(tiny, PSNR)


def test_pairs_that_are_the_same_compare_with_the_full_generator(tmp_path: Path, pictures: Path) -> None:
    own = load_model(save_tiny(tmp_path / "own", "batch", pairs="same"))
    evaluators = [own.task.evaluator(own, quality, open_data(str(pictures))) for quality in (PSNR, DISTANCE)]
    full, small = (
        [evaluator(own, own.extract(subnet), subnet) for evaluator in evaluators]
        for subnet in (own.space.largest(), own.space.smallest())
    )
    assert full == pytest.approx([60, 0], abs=1e-4) and small[0] < 40 and small[1] > 0.001
    assert "beside the full generator" in evaluators[0].data


def test_inputs_are_the_models_pictures_or_noise(tiny: Model, tmp_path: Path) -> None:
    subnet = tiny.space.smallest()
    x, what = tiny.task.inputs(tiny, subnet, 5)
    assert x.shape == (5, 3, 16, 16) and what == "calibration pictures" and x.abs().max() <= 1
    bare = load_model(save_tiny(tmp_path / "bare"))
    assert bare.task.inputs(bare, subnet, 5)[1] == "noise"


def answer_of(outcome) -> dict:
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_measure_search_export_eval_and_compare(
    tiny_path: Path, pictures: Path, tmp_path: Path, nas_run: Callable, monkeypatch
) -> None:
    import shutil

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    shutil.copytree(tiny_path, folder)
    measured = answer_of(
        nas_run(
            "measure",
            folder,
            "--data",
            pictures,
            "--count",
            "12",
            "--held-out",
            "0",
            "--jobs",
            "1",
            "--json",
        )
    )
    assert list(measured["qualities"]) == ["psnr", "distance"]
    table = load_model(folder).table()
    assert table is not None and len(table) == 12

    run = tmp_path / "run"
    budget = str(int(np.median(table.macs)))
    found = answer_of(
        nas_run(
            "search", "--model", folder, "--macs", budget, "--threads", "1",
            "--trials", "20", "--run-dir", run, "--json",
        )
    )  # fmt: skip
    quality = found["answer"]["quality"]
    assert quality["name"] == "psnr" and quality["source"] == "predicted" and quality["unit"] == "dB"
    assert found["answer"]["macs"] <= int(budget)
    shown = nas_run("show", run)
    assert shown.code == 0 and "psnr dB" in shown.stdout

    exported = answer_of(nas_run("export", run, "--no-measure", "--output", tmp_path / "out", "--json"))
    assert {row["format"] for row in exported["parity"]} == {"safetensors", "onnx", "pt2"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`(y + 1) / 2` is the picture" in card and "dB" in card and "blur" in card
    for what in (run, tmp_path / "out"):
        judged = answer_of(nas_run("eval", what, "--data", pictures, "--json"))
        assert (
            judged["quality"]["name"] == "psnr"
            and judged["data"] == f"8 test pictures of {pictures.name}, blur"
        )
    compared = nas_run("compare", run, "smallest", "largest", "--model", folder, "--no-measure")
    assert compared.code == 0 and "psnr, measured" in compared.stdout
    refused = nas_run("eval", folder)
    assert refused.code == 2 and "--data" in refused.stderr


def test_the_example_on_the_card_makes_an_input(tmp_path: Path) -> None:
    file = tmp_path / "own.png"
    Image.new("RGB", (40, 30), (255, 0, 127)).save(file)
    title, code = Translation().example_code((3, 16, 20), Preprocessing((0.5,) * 3, (0.5,) * 3, ()), [])
    names: dict = {"name": str(file)}
    exec(code, names)
    assert "picture" in title and names["x"].shape == (1, 3, 16, 20) and names["x"].dtype == np.float32
    assert names["x"][0, :, 0, 0].tolist() == pytest.approx([1, -1, 0], abs=0.01)
    names = {}
    exec(Translation().example_code((1, 16, 20), Preprocessing((0.5,), (0.5,), ()), [])[1], names)
    assert names["x"].shape == (1, 1, 16, 20)
