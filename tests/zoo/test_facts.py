"""The shipped table of published models."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from nas.errors import NasError, UsageError
from nas.zoo import FACTS, create_timm, open_zoo, operation_counts
from nas.zoo.facts import read_facts


def test_the_table_is_small_and_says_what_models_are() -> None:
    zoo = open_zoo("timm")
    assert FACTS.stat().st_size < 300_000 and len(zoo.models) > 1500
    model = next(one for one in zoo.models if one.name == "resnet50.a1_in1k" and one.image_size == 224)
    assert model.program == "resnet50@224" and model.license == "apache-2.0"
    assert model.weights == "timm/resnet50.a1_in1k"
    assert model.params == 25_557_032 and model.macs == pytest.approx(4.09e9, rel=0.01)
    assert 79 < model.qualities["top1"] < 81 < model.qualities["top5"]


def test_accuracies_are_those_that_timm_publishes(shared: Path) -> None:
    with open(shared / "data" / "zoo" / "timm_imagenet_top1.csv", newline="") as file:
        published = {(row["model"], int(row["img_size"])): float(row["top1"]) for row in csv.DictReader(file)}
    ours = {(one.name, one.image_size): one.qualities["top1"] for one in open_zoo("timm").models}
    assert ours == published


def test_counts_are_those_of_the_installed_models() -> None:
    zoo = open_zoo("timm")
    for program in ("mobilenetv3_small_100@224", "test_convnext@160"):
        model = zoo.programs[program]
        shape = (3, model.image_size, model.image_size)
        assert operation_counts(lambda m=model: create_timm(m.name, m.image_size), shape) == model.counts


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no zoo 'tim', only timm's published models; did you mean 'timm'"):
        open_zoo("tim")
    (tmp_path / "facts.parquet").write_bytes(b"PAR1")
    with pytest.raises(NasError, match="is no table of published models"):
        read_facts(tmp_path / "facts.parquet")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NasError, match="timm is not installed.*pip install timm"):
        open_zoo("timm")
