"""Distilled calibration images, the `calibrate` command, and tables that go on where they were."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.dataset import open_data
from nas.elastic import Supernet
from nas.families import get_family
from nas.metrics.accuracy import pictures
from nas.models import MeasuredTable, load_model, save_model
from nas.search.testbed.measured_table import choose_subnets, measure_table
from nas.tasks.classification import TOP1
from nas.train.calibration.distil import _mismatch, _target, distil


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "untrained"
    supernet = Supernet(get_family("mbv3-small-image", classes=10))
    classes = [str(digit) for digit in range(10)]
    save_model(path, supernet, name="untrained", classes=classes, mean=(0.3,) * 3, std=(0.3,) * 3)
    return path


def test_distilling_brings_the_statistics_nearer_to_real_ones(folder: Path, few_digits: Path) -> None:
    torch.set_num_threads(1)
    model = load_model(folder)
    real, _ = pictures(open_data(str(few_digits)), "train", model.preprocessing(), 32)
    target = _target(model.supernet, model.space.smallest(), real, model.normalize)

    def distance(steps: int, lr: float) -> float:
        options = {"classes": 10, "count": 16, "subnets": 1, "steps": steps, "lr": lr}
        images = distil(model.supernet, real, model.normalize, **options)
        assert images.shape == (16, 3, 8, 8) and images.dtype == torch.uint8
        inputs = model.family.prepare(model.normalize(images), target.subnet)
        return float(_mismatch(target, inputs)[0].detach())

    assert distance(8, 0.1) < distance(1, 0.0)


def test_calibrate_command_writes_images_and_compares_them(
    folder: Path, few_digits: Path, tmp_path: Path, nas_run
) -> None:
    report = tmp_path / "report.csv"
    compare = ("calibrate", str(folder), "--data", str(few_digits), "--report", "2", "--output", str(report))
    code, _, err = nas_run(*compare)
    assert code == 2 and "no calibration images" in err and not report.exists()
    code, out, err = nas_run(
        "calibrate", str(folder), "--data", str(few_digits), "--steps", "2", "--images", "8", "--json"
    )
    assert code == 0, err
    images = load_model(folder).calibration_images()
    assert images is not None and images.shape == (8, 3, 8, 8) and json.loads(out)["images"] == 8
    code, out, err = nas_run(*compare, "--json")
    assert code == 0, err
    rows = list(csv.DictReader(report.open()))
    means = json.loads(out)["mean"]
    assert list(means) == ["sliced", "distilled", "real"] and len(rows) == 2
    assert means["real"] == pytest.approx(np.mean([float(row["real"]) for row in rows]), abs=0.01)
    assert nas_run("calibrate", str(folder), "--data", str(few_digits), "--report", "2").code == 2


def _measure(folder: Path, data: Path, path: Path, count: int, jobs: int = 1) -> MeasuredTable:
    model = load_model(folder)
    evaluator = model.task.evaluator(model, model.task.quality(), open_data(str(data)), limit=20)
    codes, split = choose_subnets(model, count, 3, 0)
    return measure_table(model, codes, split, [evaluator], path=path, jobs=jobs)


def test_processes_side_by_side_measure_the_same(folder: Path, few_digits: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    alone = _measure(folder, few_digits, tmp_path / "alone.csv", 10)
    together = _measure(folder, few_digits, tmp_path / "together.csv", 10, jobs=2)
    assert np.array_equal(alone.codes, together.codes) and np.array_equal(
        alone.values["top1"], together.values["top1"]
    )
    assert (tmp_path / "alone.csv").read_text() == (tmp_path / "together.csv").read_text()


def test_stopped_measurement_goes_on_and_measures_nothing_twice(
    folder: Path, few_digits: Path, tmp_path: Path, monkeypatch
) -> None:
    import nas.search.testbed.measured_table as measure

    path, true, calls = tmp_path / "subnets.csv", measure._measured, []

    def counted(*args):
        calls.append(args[2])
        if len(calls) == 23:
            raise KeyboardInterrupt
        return true(*args)

    monkeypatch.setattr(measure, "_measured", counted)
    with pytest.raises(KeyboardInterrupt):
        _measure(folder, few_digits, path, 25)
    assert len(MeasuredTable.read(path, load_model(folder).space, [TOP1])) == 20
    table = _measure(folder, few_digits, path, 25)
    assert len(table) == 25 and len(calls) == 23 + 5 and table.split.count("held-out") == 3
    assert len(np.unique(table.codes, axis=0)) == 25


def test_a_larger_count_keeps_what_was_measured(folder: Path, few_digits: Path, tmp_path: Path) -> None:
    path = tmp_path / "subnets.csv"
    before = {row.tobytes() for row in _measure(folder, few_digits, path, 10).codes}
    after = {row.tobytes() for row in _measure(folder, few_digits, path, 15).codes}
    assert before <= after


def test_large_images_are_not_kept_for_every_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nas.tasks.classification as classification

    model = load_model(folder)
    subnet = model.space.smallest()
    found = []
    for limit in (1 << 20, 0):
        monkeypatch.setattr(classification, "_KEPT_BYTES", limit)
        evaluator = model.task.evaluator(model, model.task.quality(), open_data("digits"), limit=20)
        found.append(evaluator(model, model.extract(subnet), subnet))
        assert isinstance(evaluator, classification.Top1) and bool(evaluator._prepared) == (limit > 0)
    assert found[0] == found[1]
