"""Generators are searched, measured, exported and compared by the commands of every other kind of model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_compress.stylegan2.task import DISTANCE, KID, DistributionEvaluator, Generation, resolution_of
from nas.data.dataset import open_data
from nas.data.images import real_images
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.metrics.features import feature_space, fid, kid
from nas.models import Model, load_model, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    family = get_family("anycost", resolution=16, multiplier=1 / 32, style=16, classes=3)
    path = tmp_path_factory.mktemp("models") / "small-generator"
    half = (0.5, 0.5, 0.5)
    save_model(path, Supernet(family), name="small-generator", classes=["a", "b", "c"], mean=half, std=half)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder)


def test_the_full_generator_is_no_distance_from_itself(model: Model) -> None:
    evaluator = model.task.evaluator(model, model.task.quality())
    space = model.space
    full, small = (evaluator(model, model.extract(s), s) for s in (space.largest(), space.smallest()))
    assert full == pytest.approx(0, abs=1e-6) and small > 0.01
    again = pickle.loads(pickle.dumps(evaluator))
    assert again(model, model.extract(space.smallest()), space.smallest()) == pytest.approx(small)


def test_kernel_distance_of_real_and_generated_images(model: Model) -> None:
    data = open_data("digits")
    evaluator = model.task.evaluator(model, KID, data, limit=100)
    largest = model.space.largest()
    assert evaluator(model, model.extract(largest), largest) > 10  # an untrained generator's
    assert "digits" in evaluator.data
    with pytest.raises(UsageError, match="--data"):
        model.task.evaluator(model, KID)


def test_kernel_and_frechet_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(400, 8, generator=generator) for _ in range(2))
    assert abs(kid(a, b)) < 0.05 < kid(a, b + 1)
    # Between normal distributions the Fréchet distance is known: the shift's square, and the deviations' difference.
    assert fid(a, b) < 0.2
    assert fid(a, a + 2) == pytest.approx(8 * 4, rel=1e-6)
    assert fid(a, 3 * a) == pytest.approx(
        float(4 * torch.cov(a.double().T).trace() + (2 * a.double().mean(0)).square().sum()), rel=1e-4
    )
    with pytest.raises(UsageError, match="two images"):
        kid(a[:1], b)


def test_feature_distances_grow_with_the_difference() -> None:
    space, generator = feature_space(), torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    near, far = (space.distances(images, images + scale * noise).mean() for scale in (0.05, 0.5))
    assert space.distances(images, images).abs().max() == 0 and 0 < near < far
    grey = torch.rand(2, 1, 16, 16, generator=generator)
    assert space.vectors(grey).shape == space.vectors(images[:2]).shape


def test_unknown_quality_is_refused() -> None:
    with pytest.raises(UsageError, match="choose from distance, kid"):
        Generation().quality("top1")
    assert DISTANCE.sign == -1 and DISTANCE.text(0.12345) == "0.1235"


def answer_of(outcome) -> dict:
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_measure_search_export_eval_and_compare(
    folder: Path, tmp_path: Path, nas_run: Callable, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    measured = answer_of(
        nas_run("measure", folder, "--count", "16", "--held-out", "4", "--jobs", "1", "--json")
    )
    assert list(measured["qualities"]) == ["distance"]
    table = load_model(folder).table()
    assert table is not None and len(table) == 16
    assert table.values["distance"].min() == pytest.approx(0, abs=1e-6)  # the full generator

    answer_of(nas_run("profile", "--model", folder, "--threads", "1", "--samples", "20", "--json"))
    run = tmp_path / "run"
    budget = str(int(np.median(table.macs)))
    found = answer_of(
        nas_run(
            "search", "--model", folder, "--macs", budget, "--latency", "1s", "--threads", "1",
            "--trials", "30", "--run-dir", run, "--json",
        )
    )  # fmt: skip
    quality = found["answer"]["quality"]
    assert quality["name"] == "distance" and quality["source"] == "measured"
    assert quality["predicted"] is not None and quality["value"] == quality["measured"]
    assert found["answer"]["macs"] <= int(budget)
    # Lower is better: the answer is nearer to the full generator than the smallest subnet.
    smallest = table.values["distance"].max()
    assert quality["value"] < smallest
    shown = nas_run("show", run)
    assert shown.code == 0 and "distance" in shown.stdout

    exported = answer_of(nas_run("export", run, "--no-measure", "--output", tmp_path / "out", "--json"))
    assert {row["format"] for row in exported["parity"]} == {"safetensors", "onnx", "pt2"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "latents, standard normal" in card and "distance" in card
    judged = answer_of(nas_run("eval", run, "--model", folder, "--json"))
    assert judged["quality"]["name"] == "distance" and judged["quality"]["value"] >= 0
    compared = nas_run("compare", run, "smallest", "largest", "--model", folder, "--no-measure")
    assert compared.code == 0 and "distance, measured" in compared.stdout
    refused = nas_run(
        "search", "--model", folder, "--macs", budget, "--quality", "kid", "--run-dir", tmp_path / "no"
    )
    assert refused.code == 2 and "has no kid" in refused.stderr


def test_what_the_table_lacks_is_measured_if_it_needs_no_data(model: Model, tmp_path: Path) -> None:
    from nas.models import MeasuredTable
    from nas.search import load_scorer

    codes = model.space.codes([model.space.smallest(), model.space.largest()])
    counts = model.supernet.counts(codes)
    values = {"kid": np.array([3.0, -0.5])}
    table = MeasuredTable(model.space, codes, values, ("fit", "fit"), counts["macs"], counts["params"])
    own = tmp_path / "model"
    half = (0.5, 0.5, 0.5)
    save_model(own, model.supernet, name="own", classes=["a", "b", "c"], mean=half, std=half, table=table)
    scorer = load_scorer(load_model(own))
    assert scorer.source == "measured" and scorer.quality == DISTANCE
    assert scorer.score(codes[1:])[0] == pytest.approx(0, abs=1e-6)


def test_values_that_are_not_positive_are_predicted(model: Model, tmp_path: Path) -> None:
    """An unbiased kernel distance can be negative, and the full generator's own distance is zero."""
    from nas.models import MeasuredTable
    from nas.search import load_scorer

    codes = np.unique(model.space.sample_codes(np.random.default_rng(0), 60), axis=0)
    counts = model.supernet.counts(codes)
    values = {"kid": 5.0 - np.log(counts["macs"] / counts["macs"].min())}
    values["kid"] -= 4.5
    assert values["kid"].min() < 0 < values["kid"].max()
    split = tuple("held-out" if row % 4 == 0 else "fit" for row in range(len(codes)))
    table = MeasuredTable(model.space, codes, values, split, counts["macs"], counts["params"])
    own = tmp_path / "model"
    half = (0.5, 0.5, 0.5)
    save_model(own, model.supernet, name="own", classes=["a", "b", "c"], mean=half, std=half, table=table)
    scorer = load_scorer(load_model(own), quality="kid")
    held = table.rows("held-out")
    assert scorer.source == "predicted"
    assert np.abs(-scorer.score(held.codes) - held.values["kid"]).mean() < 0.2 * np.ptp(values["kid"])


def test_real_images_are_resized_as_in_training(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another way to enlarge them gave the shipped digits a kernel distance to themselves, five times the generator's."""
    data = open_data("digits")
    evaluator = model.task.evaluator(model, KID, data, split="val", limit=50)
    assert isinstance(evaluator, DistributionEvaluator)
    own = real_images(data, resolution_of(model), "val", 50)
    assert len(own.labels) == 50
    vectors = feature_space().vectors(own.pixels.float() / 127.5 - 1)
    assert torch.allclose(evaluator._real, vectors, atol=1e-5)
    assert kid(evaluator._real, vectors) < 0
