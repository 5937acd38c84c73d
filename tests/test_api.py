"""The public face, as a notebook uses it: load, search, export, evaluate, profile, compare."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import nas
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.models import Calibration, MeasuredTable, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> nas.Model:
    """An untrained supernet whose table says that accuracy grows with the logarithm of the MACs."""
    torch.manual_seed(0)
    supernet = Supernet(get_family("mbv3-small-image", classes=3))
    codes = np.unique(supernet.space.sample_codes(np.random.default_rng(0), 60), axis=0)
    counts = supernet.counts(codes)
    split = tuple("held-out" if row % 5 == 0 else "fit" for row in range(len(codes)))
    top1 = np.round(50 + 10 * np.log10(counts["macs"] / 1e6), 2)
    folder = tmp_path_factory.mktemp("models") / "tiny-classifier"
    table = MeasuredTable(supernet.space, codes, {"top1": top1}, split, counts["macs"], counts["params"])
    images = Calibration(torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8))
    save_model(
        folder, supernet, name="tiny-classifier", classes=["a", "b", "c"], mean=[0.5] * 3, std=[0.25] * 3,
        calibration=images, table=table,
    )  # fmt: skip
    return cast(nas.Model, nas.load(folder))


@pytest.fixture(scope="module")
def result(model: nas.Model, tmp_path_factory: pytest.TempPathFactory) -> nas.SearchResult:
    heard: list[str] = []

    def progress(stage: str, done: int, total: int, note: str) -> None:
        heard.append(stage)

    model.profile(samples=20)
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    found = model.search("50ms", macs="9M", trials=100, run_dir=run_dir, progress=progress)
    assert {"searching", "measuring finalists"} <= set(heard)
    return found


def test_a_search_answers_with_a_network(model: nas.Model, result: nas.SearchResult) -> None:
    answer = result.answer
    assert answer is not None
    assert answer.latency_ms is not None
    assert 0 < answer.latency_ms <= 50
    network = answer.network()
    assert isinstance(network, torch.nn.Module)
    x = model.family.example_input(answer.subnet, 2)
    assert network(x).shape == (2, 3)
    assert sum(p.numel() for p in network.parameters()) == answer.choice.params
    assert answer.quality == pytest.approx(50 + 10 * np.log10(answer.choice.macs / 1e6), abs=1)


def test_a_result_is_a_table_a_picture_and_json(result: nas.SearchResult) -> None:
    value = result.to_dict()
    assert value["budget"] == {"latency_ms": 50.0, "macs": 9_000_000}
    assert value["run_dir"] == str(result.run_dir)
    table = result.table()
    # On a restless machine it is "answer, restless".
    row = next(row for row in table.to_dicts() if row[""].startswith("answer"))
    assert row["within"] == "50 ms, 9M"
    assert "answer" in str(table)
    html = result._repr_html_()
    assert html.count("<tr") == len(table.rows) + 1
    assert 'font-weight: bold"><td>answer</td>' in html
    figure = result.plot()
    assert isinstance(figure, Figure)
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # pyright: ignore[reportOptionalMemberAccess]
    assert any(word.startswith("the answer: ") for word in words)


def test_the_front_rises(result: nas.SearchResult) -> None:
    front = result.front
    assert len(front) >= 3
    for name in ("latency_ms", "quality"):
        values = [each[name] for each in front]
        assert values == sorted(values)
    assert len(result.candidates) >= 100


def test_the_answer_is_exported_and_loaded(result: nas.SearchResult, tmp_path: Path) -> None:
    done = result.export(tmp_path / "small", formats=["onnx"], measured=False)
    assert (done.folder / "model.onnx").is_file()
    assert done.to_dict()["output"] == str(tmp_path / "small")
    names = {row["file"] for row in done.table().to_dicts()}
    assert {"model.onnx", "model.safetensors"} <= names
    network, again = done.network(), nas.load(done.folder)
    assert isinstance(again, torch.nn.Module)
    x = torch.randn(2, *done.manifest.input.shape)
    assert torch.equal(network(x), again(x))
    with pytest.raises(UsageError, match="already exists"):
        result.export(tmp_path / "small")


def test_a_subnet_is_exported_by_its_name_or_itself(model: nas.Model, tmp_path: Path) -> None:
    first = model.export("smallest", tmp_path / "a", formats=["onnx"], measured=False)
    second = model.export(model.space.smallest(), tmp_path / "b", formats=["onnx"], measured=False)
    assert (first.folder / "model.onnx").read_bytes() == (second.folder / "model.onnx").read_bytes()


def test_a_quality_is_evaluated_on_images(model: nas.Model) -> None:
    from PIL import Image

    from nas.data.dataset import Data
    from nas.data.sources import DataSource, ImageTable

    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    table = ImageTable(np.arange(60) % 3, lambda index: Image.fromarray(pixels[index]))
    found = model.evaluate("smallest", Data(DataSource("noise", ("a", "b", "c"), table)), split="val")
    assert found.subnet == model.space.smallest()
    assert (found.name, found.unit) == ("top1", "%")
    assert 0 <= found.value <= 100
    assert "noise" in found.data
    assert found.to_dict()["quality"]["value"] == found.value


def test_networks_are_compared(model: nas.Model) -> None:
    found = nas.compare("smallest", "largest", model=str(model.path), measured=False)
    table = found.table()
    assert table.columns == ["", "smallest", "largest"]
    macs = next(row for row in table.to_dicts() if row[""] == "MACs")
    assert macs["smallest"] != macs["largest"]
    assert "resolution" in found.differences
    assert len(found.to_dict()["networks"]) == 2
    with pytest.raises(UsageError, match="two or more"):
        nas.compare("smallest")


def test_a_budget_that_nothing_keeps_says_why(model: nas.Model, tmp_path: Path) -> None:
    found = model.search(params="10", run_dir=tmp_path / "never")
    assert found.answer is None
    assert "parameters" in found.outcome.reason
    with pytest.raises(UsageError, match="left no run folder"):
        found.front  # noqa: B018
    assert not (tmp_path / "never").exists()


def test_wrong_words_cost_a_sentence(model: nas.Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no model"):
        nas.load("nothing-like-it")
    with pytest.raises(UsageError, match="budget"):
        model.search()
    with pytest.raises(UsageError, match="no quality|top1"):
        model.evaluate("smallest", quality="beauty")
    assert model.name == "tiny-classifier"
