"""`nas export`, `show`, `list` and `compare` as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.models import Model
from nas.space import Subnet

Run = Callable[..., Any]


def answer_of(outcome: Any) -> dict[str, Any]:
    """Return the one JSON object on stdout of a command that went well."""
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.stdout)


@pytest.fixture
def middle_file(middle: Subnet, tmp_path: Path) -> Path:
    path = tmp_path / "middle.json"
    path.write_text(middle.to_json())
    return path


# --- export -----------------------------------------------------------------------------------------------------------


def test_export_measures_the_file_that_ships(nas_run: Run, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    args = (
        "export",
        "smallest",
        "--model",
        model_folder,
        "--format",
        "onnx",
        "--threads",
        "1",
        "--output",
        folder,
    )
    answer = answer_of(nas_run(*args, "--json"))
    assert answer["output"] == str(folder)
    assert {*answer["files"]} == {"README.md", "model.onnx", "model.safetensors", "subnet.json"}
    (measured,) = answer["latency"]
    assert measured["kind"] == "measured"
    assert measured["runtime"].startswith("onnxruntime ")
    assert 0 < measured["median_ms"] <= measured["p90_ms"]
    assert [found["kind"] for found in answer["quality"]] == ["predicted"]
    again = nas_run(*args)
    assert again.code == 2
    assert "already exists" in again.stderr


def test_export_of_a_run_keeps_its_figures(
    nas_run: Run, run_folder: Path, middle: Subnet, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    outcome = nas_run("export", run_folder, "--format", "safetensors", "--no-measure", "--output", folder)
    assert outcome.code == 0, outcome.stderr
    for words in (
        "against the supernet",
        "57.50% (predicted",
        "1.9 ms (predicted",
        "1.8 ms (measured",
        "batch 2",
    ):
        assert words in outcome.stdout
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["subnet"] == middle.to_dict()
    assert [entry["median_ms"] for entry in manifest["latency"]] == [1.9, 1.8]


def test_a_run_is_measured_as_it_was_searched(
    nas_run: Run, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.export import Export, Manifest

    seen: list[Export] = []
    write = Export.write

    def remember(self: Export, folder: Path) -> Manifest:
        seen.append(self)
        self.runtime = None
        return write(self, folder)

    monkeypatch.setattr(Export, "write", remember)
    for number, options in enumerate(((), ("--batch-size", "1"))):
        args = ("export", run_folder, "--format", "safetensors", "--output", tmp_path / str(number), *options)
        assert nas_run(*args).code == 0
    sizes = [(export.workload.batch_size, export.workload.threads) for export in seen if export.workload]
    assert sizes == [(2, 1), (1, 1)]


def test_export_with_data_calibrates_and_measures(nas_run: Run, tmp_path: Path) -> None:
    import torch

    from nas.elastic import Supernet
    from nas.families import get_family
    from nas.models import save_model

    torch.manual_seed(0)
    digits, folder = tmp_path / "digits", tmp_path / "out"
    supernet = Supernet(get_family("mbv3-small-image", classes=10))
    save_model(digits, supernet, name="d", classes=[*"0123456789"], mean=[0.5] * 3, std=[0.5] * 3)
    args = (
        "export",
        "smallest",
        "--model",
        digits,
        "--format",
        "safetensors",
        "--no-measure",
        "--output",
        folder,
    )
    answer = answer_of(nas_run(*args, "--data", "digits", "--json"))
    (quality,) = answer["quality"]
    assert quality["kind"] == "measured"
    assert "test images of digits" in quality["data"]
    assert 0 <= quality["value"] <= 60
    assert answer["parity"][0]["images"] == "calibration images"


def test_data_of_other_classes_is_refused(nas_run: Run, model_folder: Path, tmp_path: Path) -> None:
    args = ("export", "smallest", "--model", model_folder, "--output", tmp_path / "out", "--data", "digits")
    outcome = nas_run(*args)
    assert outcome.code == 2
    assert "10 classes" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_over_tolerance_prints_the_table_and_fails(
    nas_run: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.export.formats import Safetensors

    monkeypatch.setattr(Safetensors, "tolerance", -1.0)
    args = ("export", "smallest", "--model", model_folder, "--format", "safetensors", "--no-measure")
    outcome = nas_run(*args, "--output", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.stdout == ""
    assert "OVER" in outcome.stderr
    assert "nothing was written" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("export", "largst"), 2, "did you mean 'largest'"),
        (("export", "mbv3-cifar1"), 2, "did you mean 'mbv3-cifar10'"),
        (("export", "nothing/like/it"), 2, "give a model's name"),
        (("export", "largest", "--format", "tflite"), 2, "'tflite' names no known format"),
        (("export", "largest", "--model", "mbv3-cifar11"), 2, "did you mean 'mbv3-cifar10'"),
        (("export", "largest", "--runtime", "onnxruntim"), 2, "did you mean 'onnxruntime'"),
        (("show", "smalest"), 2, "did you mean 'smallest'"),
        (("compare", "largest"), 2, "two or more"),
    ],
)
def test_wrong_words_are_one_sentence(nas_run: Run, args: tuple[str, ...], code: int, words: str) -> None:
    outcome = nas_run(*args)
    assert outcome.code == code
    assert outcome.stdout == ""
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_wrong_files_are_one_sentence(
    nas_run: Run, model_folder: Path, middle: Subnet, tmp_path: Path
) -> None:
    files = {
        "foreign.json": json.dumps({**middle.to_dict(), "digest": "0" * 16}),
        "choice.json": json.dumps({**middle.to_dict(), "choices": {**middle, "resolution": 25}}),
        "cut.json": middle.to_json()[:100],
        "weights.pth": "whatever",
        "notes.txt": "whatever",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    expected = {
        "foreign.json": (2, "belongs to search space"),
        "choice.json": (2, "resolution is 25, but must be one of 24, 28, 32"),
        "cut.json": (1, "not complete JSON"),
        "weights.pth": (2, "is a pickle"),
        "notes.txt": (2, "no file of anyfit's"),
        "empty": (2, "holds none of manifest.json, run.json, supernet.json, model_index.json"),
    }
    for name, (code, words) in expected.items():
        for command in ("export", "show"):
            outcome = nas_run(command, tmp_path / name, "--model", model_folder)
            assert (outcome.code, words in outcome.stderr) == (code, True), outcome.stderr
            assert len(outcome.stderr.strip().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {*expected}


def test_a_run_without_an_answer_cannot_be_exported(nas_run: Run, run_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_folder, tmp_path / "run"))
    run = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**run, "result": None, "state": "interrupted"}))
    outcome = nas_run("export", copy, "--output", tmp_path / "out")
    assert outcome.code == 1
    assert "has no answer" in outcome.stderr
    shown = nas_run("show", copy)
    assert shown.code == 0
    assert f"nas search --resume {copy}" in shown.stdout


# --- show -------------------------------------------------------------------------------------------------------------


def test_show_a_supernet(nas_run: Run, model_folder: Path, model: Model) -> None:
    answer = answer_of(nas_run("show", model_folder, "--json"))
    assert answer["subnets"] == model.space.size
    assert answer["measured_subnets"] == len(model.table() or [])
    assert tuple(entry["name"] for entry in answer["dimensions"]) == model.space.names
    text = nas_run("show", model_folder).stdout
    assert "stage2.*.kernel" in text
    assert "smallest_top1 33.0" in text
    trained = nas_run("show", model_folder / "supernet.json").stdout
    assert trained == text


def test_show_a_subnet(
    nas_run: Run, model_folder: Path, model: Model, middle_file: Path, middle: Subnet
) -> None:
    answer = answer_of(nas_run("show", middle_file, "--model", model_folder, "--json"))
    assert answer["subnet"] == middle.to_dict()
    assert answer["macs"] == model.supernet.count(middle).macs
    assert sum(part["macs"] for part in answer["architecture"]["parts"]) == answer["macs"]
    text = nas_run("show", middle_file, "--model", model_folder).stdout
    assert "stages.3" in text
    assert f"resolution {middle['resolution']}" in text


def test_accuracy_is_measured_where_the_table_has_the_subnet(
    nas_run: Run, model_folder: Path, model: Model, tmp_path: Path
) -> None:
    table = model.table()
    assert table is not None
    path = tmp_path / "known.json"
    path.write_text(model.space.from_codes(table.codes[3]).to_json())
    (known,) = answer_of(nas_run("show", path, "--model", model_folder, "--json"))["quality"]
    assert (known["kind"], known["value"]) == ("measured", table.values["top1"][3])
    (other,) = answer_of(nas_run("show", "largest", "--model", model_folder, "--json"))["quality"]
    assert other["kind"] == "predicted"
    assert 55 < other["value"] < 70


def test_show_a_run(nas_run: Run, run_folder: Path, middle: Subnet) -> None:
    answer = answer_of(nas_run("show", run_folder, "--json"))
    assert (answer["kind"], answer["state"], answer["budget"]) == ("run", "finished", {"latency_ms": 2.0})
    assert answer["result"]["answer"]["subnet"] == middle.to_dict()
    assert answer["architecture"]["general"] == {"resolution": middle["resolution"]}
    text = nas_run("show", run_folder).stdout
    for words in ("latency ≤ 2 ms", "1.8 ms", "57.50", "stages.1", f"nas export {run_folder}"):
        assert words in text


def test_show_an_artifact_tells_which_files_were_changed(
    nas_run: Run, artifact: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes(b"other")
    answer = answer_of(nas_run("show", copy, "--json"))
    states = answer["files"]
    assert states.pop("model.onnx").startswith("has 5 bytes")
    assert {*states.values()} == {"ok"}
    text = nas_run("show", copy).stdout
    assert "has 5 bytes" in text
    assert "stages.1" in text


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_finds_everything_below_a_folder(
    nas_run: Run, model_folder: Path, run_folder: Path, artifact: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_folder, tmp_path / "trained" / "model")
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.copytree(artifact, tmp_path / "small")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "somebody else\'s"}')
    answer = answer_of(nas_run("list", tmp_path, "--json"))
    kinds = {entry["name"]: entry["kind"] for entry in answer["models"]}
    assert kinds["tiny"] == "trained"
    assert kinds["mbv3-cifar10"] == "shipped"
    (run,) = answer["runs"]
    assert (run["path"], run["state"]) == (str(tmp_path / "run"), "finished")
    (exported,) = answer["artifacts"]
    assert (exported["model"], "model.pt2" in exported["files"]) == ("tiny", True)
    text = nas_run("list", tmp_path).stdout
    for words in ("top1 33 to 34.5", "latency ≤ 2 ms", "top1 57.50%", "trained"):
        assert words in text


def test_list_says_what_is_damaged(nas_run: Run, run_folder: Path, artifact: Path, tmp_path: Path) -> None:
    for source, mark in ((run_folder, "run.json"), (artifact, "manifest.json")):
        copy = Path(shutil.copytree(source, tmp_path / source.name))
        (copy / mark).write_text((copy / mark).read_text()[:100])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "supernet.json").write_text("{")
    answer = answer_of(nas_run("list", tmp_path, "--json"))
    assert [run["state"] for run in answer["runs"]] == ["damaged"]
    assert [found["state"] for found in answer["artifacts"]] == ["damaged"]
    assert "trained, damaged" in [entry["kind"] for entry in answer["models"]]
    assert nas_run("list", tmp_path).code == 0


def test_list_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from nas.cli._main import run; run(['list']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


# --- compare ----------------------------------------------------------------------------------------------------------


def test_compare_side_by_side(
    nas_run: Run, model_folder: Path, artifact: Path, run_folder: Path, middle: Subnet
) -> None:
    args = ("compare", artifact, run_folder, "largest", "--model", model_folder, "--no-measure")
    answer = answer_of(nas_run(*args, "--json"))
    assert [found["kind"] for found in answer["networks"]] == ["artifact", "run", "subnet"]
    assert answer["differences"]["resolution"] == [24, middle["resolution"], 32]
    macs = [found["macs"] for found in answer["networks"]]
    assert macs == sorted(macs)
    text = nas_run(*args).stdout
    for words in ("57.50%", "1.8 ms", "stage4.depth", "onnxruntime 1.0"):
        assert words in text


def test_compare_measures_together(nas_run: Run, model_folder: Path, artifact: Path) -> None:
    args = ("compare", artifact, "smallest", "--model", model_folder, "--threads", "1")
    answer = answer_of(nas_run(*args, "--json"))
    assert answer["differences"] == {}
    for found in answer["networks"]:
        assert [entry["kind"] for entry in found["latency"]] == ["measured"]
        assert found["latency"][0]["median_ms"] > 0


def test_compare_predicts_with_this_machines_profile(nas_run: Run, model_folder: Path, model: Model) -> None:
    from nas.latency.profiles.profile import Profile, bound_to, latency_features, profile_path
    from nas.latency.profiles.profiling import choose_samples
    from nas.latency.runtimes import default_runtime
    from nas.latency.workload import Workload
    from nas.predict.surrogate import Surrogate

    runtime, workload = default_runtime(), Workload(threads=1)
    codes, features = choose_samples(model, 40, 0), latency_features(model)
    latency = 1.0 + model.supernet.counts(codes)["macs"] / 1e7
    fitted = Surrogate.fit(model.space, codes, latency, base=features(codes), kinds=("ridge",))
    path = profile_path(model, runtime, workload)
    profile = Profile(
        bound_to(model, runtime, workload), codes, latency, latency, latency, fitted, fitted.cv, features
    )
    profile.save(path)
    args = (
        "compare",
        "smallest",
        "largest",
        "--model",
        model_folder,
        "--threads",
        "1",
        "--no-measure",
        "--json",
    )
    try:
        networks = answer_of(nas_run(*args))["networks"]
        for found in networks:
            (predicted,) = found["latency"]
            assert predicted["kind"] == "predicted"
            assert predicted["median_ms"] == pytest.approx(1.0 + found["macs"] / 1e7, rel=0.05)
        path.write_text(path.read_text().replace('"cores": ', '"cores": 9'))
        outcome = nas_run(*args)
        assert "no predicted latency" in outcome.stderr
        assert [found["latency"] for found in answer_of(outcome)["networks"]] == [[], []]
    finally:
        path.unlink()
