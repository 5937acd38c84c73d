"""Folders of diffusers as models of every command, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.errors import NasError, UsageError
from nas.models import find_model, load_model
from tests.diffusion.tiny import as_bins, write_pipeline


def _changed(pipeline: Path, folder: Path, file: str, **changed: object) -> Path:
    shutil.copytree(pipeline, folder)
    value = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**value, **changed}))
    return folder


def test_a_pipeline_is_found_by_path_and_kind(pipeline: Path) -> None:
    assert find_model(f"diffusion:{pipeline}") == find_model(pipeline) == pipeline
    model = load_model(f"diffusion:{pipeline}")
    assert model.name == "tiny-random" and model.task.name == "diffusion"
    assert model.space["steps"].choices == (1, 2, 4)
    assert "guidance" in model.info and "space" not in model.info


def test_what_is_no_pipeline_is_one_sentence(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model_index.json").write_text("{")
    foreign = _changed(pipeline, tmp_path / "foreign", "model_index.json", _class_name="FluxPipeline")
    no_unet = _changed(pipeline, tmp_path / "no-unet", "model_index.json", unet=[None, None])
    for place, words in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "empty", "model_index.json"),
        (tmp_path / "damaged", "not complete JSON"),
        (foreign, "FluxPipeline"),
        (no_unet, "with scheduler, text_encoder"),
    ):
        with pytest.raises(NasError, match=words) as caught:
            load_model(f"diffusion:{place}")
        assert "\n" not in str(caught.value)


def test_a_file_is_said_to_be_one(pipeline: Path) -> None:
    for file in (pipeline / "model_index.json", pipeline / "unet" / "diffusion_pytorch_model.safetensors"):
        with pytest.raises(UsageError, match="is a file, but a pipeline is a folder") as caught:
            load_model(f"diffusion:{file}")
        assert "does not exist" not in str(caught.value) and "\n" not in str(caught.value)


def test_weights_in_bin_files_are_read_without_unpickling(pipeline: Path, tmp_path: Path) -> None:
    old = as_bins(shutil.copytree(pipeline, tmp_path / "old"))
    assert not [*old.glob("*/*.safetensors")]
    ours, theirs = load_model(old).supernet.state_dict(), load_model(pipeline).supernet.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_bin_files_of_the_oldest_kind_are_read_too(pipeline: Path, tmp_path: Path) -> None:
    old = as_bins(shutil.copytree(pipeline, tmp_path / "old"))
    for file in old.glob("*/*.bin"):
        torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=False)
    ours, theirs = load_model(old).supernet.state_dict(), load_model(pipeline).supernet.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_change_of_a_bin_file_changes_the_digest(pipeline: Path, tmp_path: Path) -> None:
    from diffusion.pipeline.source import PipelineSource

    old = as_bins(shutil.copytree(pipeline, tmp_path / "old"))
    before = PipelineSource().digest(old)
    (file,) = (old / "unet").glob("*.bin")
    state = torch.load(file, weights_only=True)
    torch.save({key: 2 * tensor for key, tensor in state.items()}, file)
    assert PipelineSource().digest(old) != before


class _Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_what_is_more_than_tensors_and_damaged_weights_are_refused(pipeline: Path, tmp_path: Path) -> None:
    weights = "unet/diffusion_pytorch_model.safetensors"

    def with_bin(name: str, value: object) -> Path:
        folder = shutil.copytree(pipeline, tmp_path / name)
        (folder / weights).unlink()
        torch.save(value, folder / "unet" / "diffusion_pytorch_model.bin")
        return folder

    with pytest.raises(UsageError, match="holds more than tensors") as caught:
        load_model(with_bin("trap", {"weight": _Trap()}))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="holds no tensors by name"):
        load_model(with_bin("empty", {}))
    with pytest.raises(NasError, match="holds no weights for"):
        load_model(with_bin("few", {"conv_in.bias": torch.zeros(16)}))
    cut_bin = with_bin("cut-bin", {"conv_in.bias": torch.zeros(10_000)})
    file = cut_bin / "unet" / "diffusion_pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(NasError, match="is no whole file of weights"):
        load_model(cut_bin)
    other = shutil.copytree(pipeline, tmp_path / "other")
    (other / weights).rename(other / "unet" / "model.ckpt")
    with pytest.raises(UsageError, match="holds weights as model.ckpt, which anyfit does not read"):
        load_model(other)
    cut = shutil.copytree(pipeline, tmp_path / "cut")
    (cut / weights).write_bytes((cut / weights).read_bytes()[:2000])
    with pytest.raises(NasError, match="unet cannot be read"):
        load_model(cut)


def test_the_hub_is_asked_for_bin_files_where_it_has_no_others(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fnmatch

    import huggingface_hub

    hub = as_bins(shutil.copytree(pipeline, tmp_path / "hub"))
    asked: list[list[str]] = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        for file in hub.rglob("*.*"):
            inside = file.relative_to(hub)
            if any(fnmatch.fnmatch(str(inside), pattern) for pattern in allow_patterns):
                (tmp_path / "local" / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "local" / inside)
        return str(tmp_path / "local")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert load_model("diffusion:owner/name").task.name == "diffusion"
    assert len(asked) == 2 and not any("*.bin" in pattern for pattern in asked[0])


def test_the_commands_take_a_pipeline(pipeline: Path, nas_run: Callable, tmp_path: Path) -> None:
    code, out, err = nas_run("show", f"diffusion:{pipeline}", "--json")
    assert code == 0, err
    assert {entry["name"] for entry in json.loads(out)["dimensions"]} >= {"steps", "guided", "reuse"}
    code, out, _ = nas_run("list", pipeline.parent, "--json")
    assert code == 0
    assert ("tiny-random", "diffusion") in [(m["name"], m["kind"]) for m in json.loads(out)["models"]]
    code, out, err = nas_run("eval", pipeline, "--quality", "psnr", "--json")
    assert code == 0, err
    assert json.loads(out)["quality"]["value"] == pytest.approx(100.0)
    code, _, err = nas_run("search", "--model", pipeline, "--latency", "1us", "--threads", "1")
    assert code == 3
    assert "the smallest needs" in err and "measured" in err


def test_a_table_is_bound_to_the_weights(pipeline: Path, tmp_path: Path) -> None:
    from nas.models import bind_table

    folder = write_pipeline(tmp_path / "own")
    bind_table(folder)
    notes = json.loads((folder / "anyfit.json").read_text())
    assert notes["guidance"] == 2.0 and len(notes["table"]["model.safetensors"]) == 64
