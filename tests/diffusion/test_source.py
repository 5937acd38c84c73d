"""Folders of diffusers as models of every command, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas._errors import NasError, UsageError
from nas.families import find_model, load_model
from tests.diffusion.tiny import write_pipeline


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


def test_pickles_and_damaged_weights_are_refused(pipeline: Path, tmp_path: Path) -> None:
    pickled, cut = tmp_path / "pickled", tmp_path / "cut"
    for folder in (pickled, cut):
        shutil.copytree(pipeline, folder)
    weights = "unet/diffusion_pytorch_model.safetensors"
    (pickled / weights).unlink()
    torch.save({}, pickled / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UsageError, match="unpickling runs"):
        load_model(pickled)
    (cut / weights).write_bytes((cut / weights).read_bytes()[:2000])
    with pytest.raises(NasError, match="unet cannot be read"):
        load_model(cut)


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
    from nas.families import bind_table

    folder = write_pipeline(tmp_path / "own")
    bind_table(folder)
    notes = json.loads((folder / "anyfit.json").read_text())
    assert notes["guidance"] == 2.0 and len(notes["table"]["model.safetensors"]) == 64
