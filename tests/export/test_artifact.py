"""Artifacts beside `test_export.py`: exactness, metadata, calibration, and all or nothing."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

import nas
from nas.elastic import calibrate
from nas.errors import NasError, UsageError
from nas.export import FORMATS, Export, ParityError, parse_formats, read_manifest
from nas.export import artifact as artifact_module
from nas.models import Model

WEIGHTS_ONLY = parse_formats("safetensors")


def load_network(folder: Path) -> torch.nn.Module:
    network = nas.load(folder)
    assert isinstance(network, torch.nn.Module)
    return network


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_every_file_computes_what_the_supernet_computes(artifact: Path, model: Model, batch: int) -> None:
    import onnxruntime

    subnet = model.space.smallest()
    x = torch.randn(batch, 3, 24, 24, generator=torch.Generator().manual_seed(batch))
    statistics = dict(model.extract(subnet).named_buffers())
    session = onnxruntime.InferenceSession(artifact / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model.supernet(x, subnet, overrides=statistics)
        found = {
            "onnx": torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]),
            "torch": load_network(artifact)(x),
            "pt2": torch.export.load(artifact / "model.pt2").module()(x),
        }
    for name, output in found.items():
        assert output.shape == (batch, 3)
        assert (output - expected).abs().max() <= 1e-4 * expected.abs().max(), name


def test_reloaded_is_bit_for_bit_the_extracted_network(artifact: Path, model: Model) -> None:
    x = model.normalize(torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            assert torch.equal(load_network(artifact)(x), model.extract(model.space.smallest())(x))
    finally:
        torch.set_num_threads(threads)


def test_a_loaded_network_is_ready_to_run_and_to_train(artifact: Path) -> None:
    network = load_network(artifact)
    assert not network.training
    assert all(not tensor.is_meta for tensor in network.state_dict().values())
    network(torch.randn(2, 3, 24, 24)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_onnx_is_valid_named_and_self_describing(artifact: Path) -> None:
    import onnx

    program = onnx.load(artifact / "model.onnx")
    onnx.checker.check_model(program, full_check=True)
    facts = {entry.key: entry.value for entry in program.metadata_props}
    assert json.loads(facts["classes"]) == ["a", "b", "c"]
    assert json.loads(facts["mean"]) == [0.49, 0.48, 0.45]
    assert json.loads(facts["subnet"])["resolution"] == 24
    batch = program.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param
    assert not batch.HasField("dim_value")


def test_calibration_images_replace_the_shipped_ones(model: Model, tmp_path: Path) -> None:
    subnet = model.space.smallest()
    images = torch.randint(0, 100, (32, 3, 32, 32), dtype=torch.uint8)
    Export(model=model, subnet=subnet, formats=WEIGHTS_ONLY, calibration=images).write(tmp_path / "dark")
    by_hand = model.supernet.extract(subnet).to(memory_format=torch.channels_last)
    calibrate(by_hand, [model.family.prepare(model.normalize(images), subnet)])
    found = load_network(tmp_path / "dark").state_dict()
    for name, tensor in by_hand.state_dict().items():
        torch.testing.assert_close(found[name], tensor)


def test_a_model_without_calibration_images_is_checked_on_noise(model: Model, tmp_path: Path) -> None:
    bare = Model(tmp_path, model.config, model.supernet)
    manifest = Export(model=bare, subnet=bare.space.smallest(), formats=WEIGHTS_ONLY).write(tmp_path / "x")
    assert {row["images"] for row in manifest.parity} == {"noise"}


# --- all or nothing ---------------------------------------------------------------------------------------------------


def small_export(model: Model) -> Export:
    return Export(model=model, subnet=model.space.smallest(), formats=WEIGHTS_ONLY)


def test_an_existing_folder_is_refused_and_kept(artifact: Path, model: Model) -> None:
    before = sorted(artifact.iterdir())
    with pytest.raises(UsageError, match="already exists"):
        small_export(model).write(artifact)
    assert sorted(artifact.iterdir()) == before


def test_over_tolerance_fails_with_its_figures(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = artifact_module.supernet_references
    monkeypatch.setattr(
        artifact_module, "supernet_references", lambda *args: [(x, 1.01 * y) for x, y in true(*args)]
    )
    with pytest.raises(ParityError, match=r"safetensors export differs .* by 9\.\d+e-03") as caught:
        small_export(model).write(tmp_path / "x")
    assert [row.format for row in caught.value.rows] == ["safetensors"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["model.safetensors", "model.onnx"])
def test_a_disk_full_in_the_middle_of_a_file_leaves_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == file:
            write(path, data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    export = Export(model=model, subnet=model.space.smallest(), formats=parse_formats("onnx"))
    with pytest.raises(NasError, match="No space left"):
        export.write(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(model: Model, tmp_path: Path) -> None:
    def interrupt(text: str) -> None:
        if text.startswith("checking"):
            raise KeyboardInterrupt

    export = small_export(model)
    export.report = interrupt
    with pytest.raises(KeyboardInterrupt):
        export.write(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_one_sentence(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NasError, match="cannot write"):
        small_export(model).write(tmp_path / "file" / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- formats ----------------------------------------------------------------------------------------------------------


def test_formats_by_name() -> None:
    assert [found.name for found in parse_formats("onnx")] == ["safetensors", "onnx"]
    assert [found.name for found in parse_formats(" pt2, onnx,")] == ["safetensors", "onnx", "pt2"]
    assert {found.name for found in parse_formats("all")} == {*FORMATS}


@pytest.mark.parametrize("text", ["", ",", "onnx,tflite", "ONNX"])
def test_unknown_formats_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="safetensors, onnx, pt2"):
        parse_formats(text)


def test_the_manifest_holds_the_parity_of_every_format(artifact: Path) -> None:
    rows = read_manifest(artifact).parity
    assert [row["format"] for row in rows] == ["safetensors", "onnx", "pt2"]
    assert all(0 <= row["max_relative_delta"] <= row["tolerance"] for row in rows)
    assert {*rows[0]["batch_sizes"]} == {1, 3, 8}
