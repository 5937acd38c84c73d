"""The verbs that make and judge models from Python: train, measure, calibrate, prune, quantize, import; and listings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

import nas
from nas import api
from nas.data import Data
from nas.errors import UsageError
from nas.models import get_task
from tests.conformance.trainers import few_digits

TINY = {
    "epochs": 1,
    "batch_size": 40,
    "checkpoint_steps": 2,
    "distil_steps": 2,
    "calibration_images": 32,
    "random_subnets": 1,
    "warmup_epochs": 0.0,
}


@pytest.fixture(scope="module")
def digits() -> Data:
    return few_digits()


@pytest.fixture(scope="module")
def heard() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(digits: Data, heard: list[str], tmp_path_factory: pytest.TempPathFactory) -> api.TrainingResult:
    folder = tmp_path_factory.mktemp("trained") / "run"
    return api.train_model(
        "digits", digits, folder, changes=TINY, threads=1, progress=lambda stage, *steps: heard.append(stage)
    )


def test_a_training_leaves_a_model_and_its_log(trained: api.TrainingResult, heard: list[str]) -> None:
    model = trained.model()
    assert isinstance(model, nas.Model)
    assert model.path == trained.folder == trained.run_dir / "model"
    assert len(model.classes) == 10
    assert {"training", "distilling calibration images"} <= set(heard)
    assert any(stage.startswith("test top-1") for stage in heard)
    table = trained.table()
    assert [row["step"] for row in table.to_dicts()] == [row["step"] for row in trained.log]
    assert isinstance(trained.plot(), Figure)
    assert [axes.get_ylabel() for axes in trained.plot().axes][0] == "loss"
    assert "<table>" in trained._repr_html_()
    assert set(trained.to_dict()) == {"model", "run_dir", "info"}
    assert json.dumps(trained.to_dict()["info"])


def test_nothing_is_printed_without_a_listener(
    trained: api.TrainingResult, digits: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model is gone on from: another one of its own family."""
    other = trained.model().train("digits", digits, tmp_path / "run", changes=TINY, threads=1)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert other.model().family.options == trained.model().family.options


def test_a_shortened_warm_up_is_said(digits: Data, tmp_path: Path) -> None:
    said: list[str] = []
    changes = {name: value for name, value in TINY.items() if name != "warmup_epochs"} | {"distil_steps": 0}
    api.train_model(
        "digits", digits, tmp_path / "run", changes=changes, threads=1,
        progress=lambda stage, *steps: said.append(stage),
    )  # fmt: skip
    assert any("the warm-up is shortened" in text for text in said)


def test_what_cannot_be_trained_is_said(digits: Data, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a model for generation; name a classifier"):
        api.train_model("digits", digits, tmp_path / "run", start="anycost-digits")
    with pytest.raises(
        UsageError, match="there is no training 'tune' for classification; there are: train, distil"
    ):
        api.train_model("digits", digits, tmp_path / "run", kind="tune")
    with pytest.raises(UsageError, match="there is no recipe"):
        api.train_model("no-recipe", digits, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "kinds", "recipe"),
    [
        ("classification", ["train", "distil"], "cifar10-cpu"),
        ("generation", ["train"], "digits-elastic"),
        ("translation", ["train"], "deblur-compress"),
        ("diffusion", ["train", "distil"], "bk-sdm"),
    ],
)
def test_every_task_names_its_trainings(task: str, kinds: list[str], recipe: str) -> None:
    known = get_task(task).trainings()
    assert [*known] == kinds
    owner = next(training for training in known.values() if recipe in training.recipe_names())
    assert owner.load_recipe(recipe).replaced(seed=3).seed == 3
    assert owner.starts


def test_calibration_images_are_compared_and_made(
    trained: api.TrainingResult, digits: Data, tmp_path: Path
) -> None:
    model = trained.model()
    found = api.compare_model_calibrations(model, digits, 2)
    assert [*found.mean] == ["sliced", "distilled", "real"]
    found.write_csv(tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text().splitlines()[0] == "subnet,macs,sliced,distilled,real"
    done = api.calibrate_model(model, digits, images=16, steps=2)
    assert done.images == 16
    fresh = nas.load(model.path)
    assert isinstance(fresh, nas.Model)
    images = fresh.calibration_images()
    assert images is not None and len(images) == 16


def test_subnets_are_measured_into_the_table(trained: api.TrainingResult, digits: Data) -> None:
    model, stages = trained.model(), []
    found = model.measure(
        digits, count=12, held_out=2, jobs=1, progress=lambda stage, *steps: stages.append(steps[:2])
    )
    assert len(found.subnets) == 12 and found.path == model.path / "subnets.csv"
    assert stages[-1] == (12, 12)
    value = found.to_dict()["qualities"]["top1"]
    assert 0 <= value["lowest"] <= value["highest"] <= 100
    assert value["predictor"] is None
    assert found.table().to_dicts()[0]["quality"] == "top-1"
    assert isinstance(found.plot(), Figure)
    with pytest.raises(UsageError, match="measured on images"):
        model.measure()


def test_a_network_is_pruned(trained: api.TrainingResult, tmp_path: Path) -> None:
    stages: set[str] = set()
    found = trained.model().prune(
        tmp_path / "smaller", macs="70%", samples=32, progress=lambda stage, *steps: stages.add(stage)
    )
    assert isinstance(found, nas.Pruning)
    assert {"importance", "sensitivity"} <= stages
    before, after = found.to_dict()["before"]["macs"], found.to_dict()["after"]["macs"]
    assert 0 < after <= 0.7 * before
    macs = next(row for row in found.table().to_dicts() if row[trained.model().name] == "MACs a pass")
    assert macs["share"] == f"{after / before:.1%}"
    assert sum(p.numel() for p in found.network().parameters()) == found.cut.after.params
    assert isinstance(nas.load(tmp_path / "smaller"), torch.nn.Module)
    with pytest.raises(UsageError, match="already exists"):
        trained.model().prune(tmp_path / "smaller", macs="50%")
    with pytest.raises(UsageError, match="does not take these settings"):
        trained.model().prune(colour="blue")


def test_a_network_is_quantized_from_its_subnet(
    trained: api.TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine is quick at: that int8 is faster here is invented."""
    from nas.export import Quantized

    def invented(artifact, folder, model, evaluators, runtime, workload, *, report):
        assert (artifact / "model.onnx").is_file()
        assert (runtime.name, workload.threads, evaluators) == ("onnxruntime", 1, [])
        report("measuring")
        return Quantized("convolutions", {"convolutions": 2.0}, (2.0, 1.0), (), (400, 100))

    monkeypatch.setattr("nas.api.verbs.compression.quantize_artifact", invented)
    monkeypatch.setattr("nas.api.verbs.compression.SCOPES", {"convolutions": "the convolutions"})
    stages: list[str] = []
    found = trained.model().quantize(
        "smallest", tmp_path / "int8", progress=lambda stage, *steps: stages.append(stage)
    )
    assert found.to_dict()["speedup"] == 2.0
    assert found.to_dict()["bytes"] == {"fp32": 400, "int8": 100}
    assert [row["int8"] for row in found.table().to_dicts()] == ["1 ms", "100 B"]
    assert found.remarks[0] == "int8 are the convolutions"
    assert stages[-1] == "measuring"
    with pytest.raises(UsageError, match="needs a place"):
        trained.model().quantize("smallest")
    with pytest.raises(UsageError, match="purpose is for pipelines"):
        trained.model().quantize("smallest", tmp_path / "int8", purpose="size")


def test_a_checkpoint_becomes_a_model(trained: api.TrainingResult, tmp_path: Path) -> None:
    network = trained.model().supernet.network
    torch.save(network.state_dict(), tmp_path / "published.pth")
    with pytest.raises(UsageError, match="there is no family|no model family|family 'nothing'"):
        api.import_checkpoint(tmp_path / "published.pth", tmp_path / "model", family="nothing")
    assert not (tmp_path / "model").exists()


def test_what_there_is_is_listed_and_described(trained: api.TrainingResult) -> None:
    found = api.list_all([trained.run_dir])
    assert [entry["path"] for entry in found.models if entry["kind"] == "trained"] == [str(trained.folder)]
    assert "models" in found.tables()
    assert str(trained.folder) in found._repr_html_()
    described = api.describe(str(trained.folder))
    assert described.to_dict()["kind"] == "model"
    assert ("folder", str(trained.folder)) in described.table().rows
    subnet = api.describe("smallest", str(trained.folder))
    assert subnet.words == f"a subnet of {trained.model().name}"
    assert "<table>" in subnet._repr_html_()


def test_a_progress_class_hears_steps_and_remarks(trained: api.TrainingResult) -> None:
    class Heard(nas.Progress):
        def __init__(self) -> None:
            self.stages: list[tuple[str, int, int]] = []
            self.remarks: list[str] = []

        def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
            self.stages.append((stage, done, total))

        def remark(self, text: str) -> None:
            self.remarks.append(text)

    progress = Heard()
    advance = progress.steps("counting")
    advance(1, 2)
    assert progress.stages == [("counting", 0, 0), ("counting", 1, 2)]
    nas.compare("smallest", "largest", model=str(trained.folder), measured=False, progress=progress)
    assert progress.remarks == []
