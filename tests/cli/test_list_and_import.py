"""What `nas list` says of models without classes, and `nas import` of a file that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_model_without_classes_has_no_number_of_them(
    nas_run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    done = nas_run("list", "--json")
    assert done.code == 0
    classes = {model["name"]: model["classes"] for model in json.loads(done.stdout)["models"]}
    assert classes["mbv3-cifar10"] == 10
    assert classes["tiny-sd-cifar10"] is None


def test_a_checkpoint_that_is_not_there_is_wrong_usage(nas_run: Any, tmp_path: Path) -> None:
    done = nas_run("import", tmp_path / "nosuch.pth", "--output", tmp_path / "model")
    assert done.code == 2
    assert done.stderr.strip().endswith("nosuch.pth does not exist; give a checkpoint file or its URL")
    assert not (tmp_path / "model").exists()
