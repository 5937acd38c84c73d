"""Artifacts: files that give the supernet's outputs, hashes that are checked, nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.errors import NasError, UsageError
from nas.export import Export, ParityError, parse_formats, read_manifest, refuse_pickle
from nas.export import artifact as artifact_module
from nas.models import load_model


def reference(model_folder: Path, x: torch.Tensor) -> torch.Tensor:
    model = load_model(model_folder)
    with torch.no_grad():
        return model.extract(model.space.smallest())(x)


@pytest.mark.parametrize("batch", [1, 5])
def test_every_file_gives_the_extracted_networks_output(
    artifact: Path, model_folder: Path, batch: int
) -> None:
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(artifact / "model.onnx"))
    x = torch.randn(batch, 3, 24, 24, generator=torch.Generator().manual_seed(batch))
    expected = reference(model_folder, x).numpy()
    session = onnxruntime.InferenceSession(artifact / "model.onnx", providers=["CPUExecutionProvider"])
    by_onnx = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    with torch.no_grad():
        network = nas.load(artifact)
        assert isinstance(network, torch.nn.Module)
        by_torch = network(x).numpy()
        by_pt2 = torch.export.load(artifact / "model.pt2").module()(x).numpy()
    scale = np.abs(expected).max()
    for name, found in {"onnx": by_onnx, "torch": by_torch, "pt2": by_pt2}.items():
        assert np.abs(found - expected).max() <= 1e-4 * scale, name


def test_card_and_manifest_say_what_it_is(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert manifest.model == "tiny"
    assert {row["format"] for row in manifest.parity} == {"safetensors", "onnx", "pt2"}
    assert all(row["max_relative_delta"] <= row["tolerance"] for row in manifest.parity)
    card = (artifact / "README.md").read_text()
    for words in ("nas.load", "onnxruntime", "torch.export.load", "2.56M"):
        assert words in card


@pytest.mark.parametrize("name", ["model.safetensors", "subnet.json"])
def test_a_changed_file_is_refused(artifact: Path, tmp_path: Path, name: str) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(NasError, match=name):
        nas.load(copy)
    (copy / name).write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(NasError, match=name):
        nas.load(copy)


def test_an_existing_folder_is_refused(artifact: Path, model_folder: Path) -> None:
    model = load_model(model_folder)
    with pytest.raises(UsageError, match="already exists"):
        Export(model=model, subnet=model.space.smallest()).write(artifact)


def test_over_tolerance_leaves_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(model_folder)
    true = artifact_module.supernet_references

    def wrong(*args, **kwargs):
        return [(x, 1.01 * y) for x, y in true(*args, **kwargs)]

    monkeypatch.setattr(artifact_module, "supernet_references", wrong)
    with pytest.raises(ParityError):
        Export(model=model, subnet=model.space.smallest(), formats=parse_formats("safetensors")).write(
            tmp_path / "x"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(model_folder)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact_module, "write_manifest", full)
    with pytest.raises(NasError, match="No space left"):
        Export(model=model, subnet=model.space.smallest(), formats=parse_formats("safetensors")).write(
            tmp_path / "x"
        )
    assert list(tmp_path.iterdir()) == []


def test_pickles_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="pickle"):
        refuse_pickle(tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="tflite"):
        parse_formats("onnx,tflite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_sentence(model_folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    model = load_model(model_folder)
    with pytest.raises(NasError, match="cannot write"):
        Export(model=model, subnet=model.space.smallest()).write(tmp_path / "x")


def test_commands_describe_and_compare(nas_run, model_folder: Path, artifact: Path, tmp_path: Path) -> None:
    model = load_model(model_folder)
    subnet = tmp_path / "mine.json"
    subnet.write_text(model.space.largest().to_json())
    code, out, _ = nas_run("show", str(model_folder), "--json")
    assert code == 0 and json.loads(out)["subnets"] == model.space.size
    code, out, _ = nas_run("show", str(subnet), "--model", str(model_folder), "--json")
    assert code == 0 and json.loads(out)["macs"] == model.supernet.count(model.space.largest()).macs
    code, out, _ = nas_run("show", str(artifact))
    assert code == 0 and "2.56M" in out
    code, out, _ = nas_run("list", "--json")
    assert code == 0 and "models" in json.loads(out)
    compare = ("compare", str(artifact), str(subnet), "--model", str(model_folder), "--no-measure")
    code, out, _ = nas_run(*compare, "--json")
    answer = json.loads(out)
    assert code == 0 and len(answer["networks"]) == 2 and "resolution" in answer["differences"]
    code, out, _ = nas_run(*compare)
    assert code == 0 and "parameters" in out
    code, _, err = nas_run("compare", str(artifact))
    assert code == 2 and "two or more" in err


def test_export_command(nas_run, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    args = (
        "export",
        "smallest",
        "--model",
        str(model_folder),
        "--format",
        "safetensors,onnx",
        "--threads",
        "1",
    )
    code, out, err = nas_run(*args, "--output", str(folder), "--data", "digits")
    assert code == 2 and "10 classes" in err and not folder.exists()
    code, out, err = nas_run(*args, "--output", str(folder), "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["latency"][0]["kind"] == "measured" and (folder / "model.onnx").is_file()
    code, _, err = nas_run(*args, "--output", str(folder))
    assert code == 2 and "already exists" in err
    code, _, err = nas_run("export", "largst")
    assert code == 2 and "did you mean 'largest'" in err
    other = tmp_path / "other.json"
    text = load_model(model_folder).space.smallest().to_json().replace('digest": "', 'digest": "0')
    other.write_text(text)
    code, _, err = nas_run("export", str(other), "--model", str(model_folder))
    assert code == 2 and "search space" in err
