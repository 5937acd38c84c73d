"""Loading: hashes are checked, nothing is unpickled, and every refusal is one sentence that names the file."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import nas
from nas.errors import NasError, UsageError
from nas.export import file_state, is_artifact, read_manifest, refuse_pickle
from nas.files import sha256
from nas.models import Model


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "copy"))


def edit_manifest(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rehash_weights(folder: Path) -> None:
    """Let the manifest vouch for weights that were exchanged."""
    path = folder / "model.safetensors"
    entry = {"sha256": sha256(path), "bytes": path.stat().st_size}
    edit_manifest(folder, files={**read_manifest(folder).files, path.name: entry})


@pytest.mark.parametrize("name", ["model.safetensors", "subnet.json"])
def test_a_tampered_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert file_state(copy, read_manifest(copy), name) == "has another SHA-256"
    with pytest.raises(NasError, match=rf"{name} has another SHA-256"):
        nas.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "subnet.json"])
def test_a_truncated_file_is_refused(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(NasError, match=rf"{name} has \d+ bytes and not {len(data)}"):
        nas.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "subnet.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(NasError, match=f"{name} is missing"):
        nas.load(copy)


def test_an_edited_card_does_not_keep_the_network_from_loading(copy: Path) -> None:
    (copy / "README.md").write_text("mine")
    assert file_state(copy, read_manifest(copy), "README.md") != "ok"
    assert isinstance(nas.load(copy), torch.nn.Module)


def test_weights_of_another_network_are_refused_even_with_their_hash(copy: Path) -> None:
    path = copy / "model.safetensors"
    weights = load_file(path)
    weights["classifier.weight"] = weights["classifier.weight"][:2].clone()
    save_file(weights, path)
    rehash_weights(copy)
    with pytest.raises(NasError, match=r"other weights than its subnet: classifier.weight is \(2, 384\)"):
        nas.load(copy)


@pytest.mark.parametrize("data", [b"", b"garbage that is no safetensors file at all"])
def test_weights_that_are_no_safetensors_are_refused(copy: Path, data: bytes) -> None:
    (copy / "model.safetensors").write_bytes(data)
    rehash_weights(copy)
    with pytest.raises(NasError, match="no intact safetensors file"):
        nas.load(copy)


def test_a_pickle_under_the_weights_name_is_refused(copy: Path) -> None:
    torch.save({"classifier.weight": torch.zeros(1)}, copy / "model.safetensors")
    rehash_weights(copy)
    with pytest.raises(UsageError, match="is a pickle"):
        nas.load(copy)


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.pkl", "weights.ckpt", "weights"])
def test_pickles_are_refused_by_name_or_content(tmp_path: Path, name: str) -> None:
    with open(tmp_path / name, "wb") as file:
        pickle.dump({"weight": [1, 2]}, file)
    with pytest.raises(UsageError, match="is a pickle"):
        nas.load(tmp_path / name)
    torch.save({}, tmp_path / f"{name}-zip")
    with pytest.raises(UsageError, match="is a pickle"):
        refuse_pickle(tmp_path / f"{name}-zip")


def test_a_pt2_program_is_no_pickle(artifact: Path) -> None:
    refuse_pickle(artifact / "model.pt2")
    assert is_artifact(artifact)


# --- manifests --------------------------------------------------------------------------------------------------------


def test_a_manifest_of_another_format_or_version_is_refused(copy: Path) -> None:
    edit_manifest(copy, version=2)
    with pytest.raises(NasError, match="has version 2 but this anyfit reads version 1"):
        nas.load(copy)
    edit_manifest(copy, format="webmanifest")
    with pytest.raises(NasError, match="not the manifest of an exported artifact"):
        nas.load(copy)


@pytest.mark.parametrize("field", ["family", "input", "quality", "files", "options"])
def test_a_manifest_with_a_garbled_field_is_refused(copy: Path, field: str) -> None:
    data = json.loads((copy / "manifest.json").read_text())
    data[field] = [1]
    if field == "family":
        del data[field]
    (copy / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(NasError, match="lacks or garbles a field"):
        nas.load(copy)


def test_a_truncated_manifest_is_refused(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text[:200])
    with pytest.raises(NasError, match="not complete JSON"):
        nas.load(copy)


def test_an_artifact_of_another_space_is_refused(copy: Path) -> None:
    edit_manifest(copy, space_digest="0123456789abcdef")
    with pytest.raises(NasError, match="exported from version 0123456789abcdef of the space"):
        nas.load(copy)


def test_options_that_the_family_does_not_take_are_refused(copy: Path) -> None:
    edit_manifest(copy, options={"classes": 3, "colour": "blue"})
    with pytest.raises(NasError, match="'colour': 'blue'"):
        nas.load(copy)


def test_a_family_that_is_not_installed_is_named(copy: Path) -> None:
    edit_manifest(copy, family="mbv3-small-imagee")
    with pytest.raises(UsageError, match="did you mean 'mbv3-small-image'"):
        nas.load(copy)


def test_a_subnet_that_its_space_does_not_know_is_refused(copy: Path) -> None:
    value = json.loads((copy / "subnet.json").read_text())
    value["choices"]["resolution"] = 25
    (copy / "subnet.json").write_text(json.dumps(value))
    entry = {"sha256": sha256(copy / "subnet.json"), "bytes": (copy / "subnet.json").stat().st_size}
    edit_manifest(copy, files={**read_manifest(copy).files, "subnet.json": entry})
    with pytest.raises(NasError, match=r"subnet\.json: resolution is 25"):
        nas.load(copy)


def test_a_manifest_survives_its_file(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert manifest.to_dict()["files"] == json.loads((artifact / "manifest.json").read_text())["files"]
    assert manifest.input.shape == (3, 24, 24)
    assert all(file_state(artifact, manifest, name) == "ok" for name in manifest.files)
    assert file_state(artifact, manifest, "other.bin") == "is not part of the artifact"


# --- what nas.load takes ----------------------------------------------------------------------------------------------


def test_a_model_folder_loads_as_a_model(model_folder: Path) -> None:
    assert isinstance(nas.load(model_folder), Model)


def test_a_run_is_refused_with_the_command_that_helps(run_folder: Path) -> None:
    with pytest.raises(UsageError, match=f"nas export {run_folder}"):
        nas.load(run_folder)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'mbv3-cifar10'"):
        nas.load("mbv3-cifar1")


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no supernet\.json"):
        nas.load(tmp_path)
