"""Bad input to `nas export`, `show`, `list` and `compare`: one sentence, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.export import Export, parse_formats
from nas.families import get_family
from nas.models import load_model

RUN = {
    "format": "anyfit-run",
    "version": 1,
    "state": "finished",
    "changed": "now",
    "budget": {"macs": 6_000_000},
}
HOW = {
    "runtime": "onnxruntime",
    "runtime_version": "1",
    "workload": {"batch_size": 1, "threads": 1, "precision": "fp32"},
    "machine": {"processor": "a processor", "cores": 2, "system": "Linux", "gpu": ""},
}


@pytest.fixture(scope="module")
def artifact(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, folder = load_model(model_folder), tmp_path_factory.mktemp("weights-only") / "small"
    Export(model=model, subnet=model.space.smallest(), formats=parse_formats("safetensors")).write(folder)
    return folder


@pytest.fixture
def run_folder(model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a run as a search leaves it; keyword arguments replace entries, None removes them."""

    def run_folder(**changes: Any) -> Path:
        space = load_model(model_folder).space
        subnet, folder = space.smallest(), tmp_path / "run"
        answer = {
            "subnet": subnet.to_dict(),
            "quality": {
                "name": "top1",
                "value": 87.5,
                "unit": "%",
                "source": "predicted",
                "predicted": 87.5,
                "measured": None,
            },
            "latency_ms": {"predicted": 0.5, "measured": 0.625, "p90": 0.75},
            "macs": 1,
            "params": 1,
            "size_bytes": 4,
            "trial": 0,
        }
        result = {
            "budget": RUN["budget"],
            "answer": answer,
            "ladder": [],
            "trials": 3,
            "reason": "",
            "smallest_latency_ms": 0.1,
            "largest_latency_ms": 9.0,
            "everything_fits": False,
            "interrupted": False,
        }
        entries = {**RUN, "model": str(model_folder), "measured_with": HOW, "result": result, **changes}
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
        (folder / "subnet.json").write_text(subnet.to_json())
        return folder

    return run_folder


def one_sentence(outcome: Any, code: int, words: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_a_run_is_exported_with_what_it_found(nas_run: Any, run_folder: Any, tmp_path: Path) -> None:
    run, output = run_folder(), tmp_path / "out"
    done = nas_run("export", run, "--format", "safetensors", "--no-measure", "--output", output, "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(entry["kind"], entry["value"]) for entry in found["quality"]] == [("predicted", 87.5)]
    assert {entry["kind"]: entry["median_ms"] for entry in found["latency"]} == {
        "predicted": 0.5,
        "measured": 0.625,
    }
    assert found["subnet"] == json.loads((run / "subnet.json").read_text())
    card = (output / "README.md").read_text()
    assert "87.50%" in card and "a processor" in card


def test_show_describes_a_run(nas_run: Any, run_folder: Any) -> None:
    run = run_folder()
    code, out, _ = nas_run("show", run)
    assert code == 0 and "MACs ≤ 6M" in out and "87.50% (predicted" in out
    code, out, _ = nas_run("show", run, "--json")
    assert code == 0 and json.loads(out)["result"]["answer"]["quality"]["value"] == 87.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"result": None}, "has no answer"),
        ({"version": 2}, "format version 2"),
        ({"format": "other"}, "is not of format"),
        ({"measured_with": None}, "lacks or garbles a field"),
    ],
)
def test_a_run_without_a_usable_answer(
    nas_run: Any, run_folder: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run, output = run_folder(**changes), tmp_path / "out"
    one_sentence(nas_run("export", run, "--no-measure", "--output", output), 1, words)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_run_without_its_budget_is_not_shown(nas_run: Any, run_folder: Any) -> None:
    one_sentence(nas_run("show", run_folder(budget=None)), 1, "lacks or garbles a field")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "unlike manifest.json says"),
        ("subnet.json", "subnet.json"),
        ("manifest.json", "JSON"),
    ],
)
def test_a_truncated_artifact_is_not_compared(
    nas_run: Any, artifact: Path, model_folder: Path, tmp_path: Path, name: str, words: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    one_sentence(nas_run("compare", copy, "smallest", "--model", model_folder, "--no-measure"), 1, words)


def test_show_says_which_file_was_changed(nas_run: Any, artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    with open(copy / "model.safetensors", "ab") as file:
        file.write(b"x")
    code, out, _ = nas_run("show", copy, "--json")
    states = json.loads(out)["files"]
    assert code == 0 and states["subnet.json"] == "ok"
    assert "bytes and not" in states["model.safetensors"]


def test_list_survives_damaged_folders(nas_run: Any, artifact: Path, tmp_path: Path) -> None:
    shutil.copytree(artifact, tmp_path / "good")
    for name, mark in (("cut", "manifest.json"), ("run", "run.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text("{")
    code, out, _ = nas_run("list", tmp_path, "--json")
    found = json.loads(out)
    states = {Path(entry["path"]).name: entry.get("state") for entry in found["artifacts"] + found["runs"]}
    assert code == 0 and states == {"good": None, "cut": "damaged", "run": "damaged"}


def test_a_subnet_of_another_space_is_refused(nas_run: Any, model_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(get_family("ofa-mbv3").space.smallest().to_json())
    for command in ("export", "show"):
        one_sentence(nas_run(command, other, "--model", model_folder), 2, "'ofa-mbv3'")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_a_pickle_is_never_opened(nas_run: Any, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)
    for arguments in (("show", weights), ("export", weights), ("export", "smallest", "--model", weights)):
        one_sentence(nas_run(*arguments), 2, "is a pickle")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_unknown_names_suggest_the_nearest(nas_run: Any) -> None:
    one_sentence(nas_run("show", "smalest"), 2, "did you mean 'smallest'")
    one_sentence(nas_run("export", "smallest", "--model", "mbv3-cifar1"), 2, "did you mean 'mbv3-cifar10'")
