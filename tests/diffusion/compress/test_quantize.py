"""Quantizing a pipeline: what is tried, what is recommended, what is written, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion.compress import quantization as quantize
from diffusion.compress.quantization import LEAST_PSNR, QuantizationScheme, TriedScheme, refusal, schemes
from diffusion.evaluation.task import fixed_inputs
from diffusion.pipeline.sampling.onnx_runner import Pipeline, sample
from nas.compress import recommend
from nas.elastic import call
from nas.errors import UsageError
from nas.export import Export, parse_formats, read_manifest
from nas.latency.measuring.measure import Measurement
from nas.latency.measuring.process import Burst
from nas.latency.measuring.turns import Turn
from nas.models import Model, load_model
from tests.diffusion.tiny import write_pipeline

KEPT = ("fp32", "int8 weights, all", "int4 weights, all", "dynamic int8")


@pytest.fixture(scope="module")
def model(pipeline: Path) -> Model:
    return load_model(pipeline)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few ways, measured as shortly as it goes."""
    monkeypatch.setattr(quantize, "_SECONDS", 0.01)
    monkeypatch.setattr(quantize, "_PICTURES", 4)
    every = quantize.schemes
    few = lambda *args: [scheme for scheme in every(*args) if scheme.name in KEPT]  # noqa: E731
    for module in ("quantization", "verbs"):
        monkeypatch.setattr(f"diffusion.compress.{module}.schemes", few)


def _tried(model: Model, name: str, ms: float, size: int, psnr_db: float) -> TriedScheme:
    measured = Measurement.from_turns([Turn(Burst((ms,), 0.0))] * 3)
    scheme = QuantizationScheme(name, model.space.largest())
    return TriedScheme(scheme, {}, size, measured, 10 / ms, psnr_db, None)


def test_every_kind_of_layer_is_tried_alone_and_with_the_others(model: Model) -> None:
    found = schemes(model, model.space.subnet({**model.space.largest(), "attention.bits": 4}), "onnxruntime")
    assert found[0].name == "fp32" and set(quantize.bits_of(found[0].subnet).values()) == {32}
    own = {scheme.name: quantize.bits_of(scheme.subnet) for scheme in found}
    assert len(own) == len(found) == 13
    assert own["int8 weights, all"] == {"attention.bits": 8, "feed_forward.bits": 8, "resnet.bits": 8}
    assert own["int4 weights, feed-forward"] == {
        "attention.bits": 32,
        "feed_forward.bits": 4,
        "resnet.bits": 32,
    }
    assert {scheme.scope for scheme in found} == {"", "dynamic", "everything", "weighted", "inner"}
    assert {scheme.scope for scheme in schemes(model, model.space.largest(), "torch")} == {""}


def test_only_what_is_faster_is_recommended_for_speed(model: Model) -> None:
    floats = _tried(model, "fp32", 10, 100, 100)
    good, best = _tried(model, "good", 8, 50, 30), _tried(model, "best", 7, 60, 40)
    slow, bad = _tried(model, "slow", 12, 20, 50), _tried(model, "bad", 1, 10, 12)
    others = [slow, good, best, bad]
    assert recommend(floats, others, "speed", least=LEAST_PSNR) is best
    assert recommend(floats, others, "size", least=LEAST_PSNR) is slow
    assert recommend(floats, [slow, bad], "speed", least=LEAST_PSNR) is None
    assert "slow, is 0.83×" in refusal([floats, slow, bad], "speed", 1.2, LEAST_PSNR)
    assert recommend(floats, [bad], "size", least=LEAST_PSNR) is None
    assert "no choice keeps 25 dB" in refusal([floats, bad], "size", 1.2, LEAST_PSNR)
    assert recommend(floats, others, "speed", least=45) is None


@torch.no_grad()
def test_the_smallest_is_written_as_a_folder_of_diffusers(
    pipeline: Path, model: Model, nas_run: Callable, quick: None, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    args = ("--threads", "1", "--for", "size", "--psnr", "0", "--output", folder, "--json")
    code, out, err = nas_run("diffusion", "quantize", pipeline, *args)
    assert code == 0, err
    found = json.loads(out)
    choices = {choice["name"]: choice for choice in found["choices"]}
    assert [*choices] == [*KEPT]
    assert all(choice["image_ms"] > 0 for choice in choices.values())
    assert choices["fp32"]["speedup"] == 1 and choices["fp32"]["psnr"] == 100
    assert (
        choices["int4 weights, all"]["bytes"]
        < choices["int8 weights, all"]["bytes"]
        < choices["fp32"]["bytes"]
    )
    assert choices["int4 weights, all"]["psnr"] < choices["int8 weights, all"]["psnr"] < 100
    assert all(choices[name]["psnr"] < 100 for name in KEPT[1:])
    assert found["recommended"] == min(choices.values(), key=lambda choice: choice["bytes"])["name"]
    assert read_manifest(folder).quality[0].value == choices[found["recommended"]]["psnr"]
    assert f"## Quantized: {found['recommended']}" in (folder / "README.md").read_text()
    assert (folder / "model_index.json").is_file() and (folder / "run_onnx.py").is_file()
    code, out, err = nas_run("show", folder, "--json")
    assert code == 0, err
    assert set(json.loads(out)["files"].values()) == {"ok"}


@torch.no_grad()
def test_a_file_that_onnx_runtime_quantized_takes_the_place_of_floats(
    model: Model, quick: None, tmp_path: Path
) -> None:
    from diffusion.compress.quantized import write_quantized
    from nas.latency.runtimes import get_runtime
    from nas.latency.workload import Workload

    runtime, workload = get_runtime("onnxruntime"), Workload(threads=1)
    start = model.space.subnet({**model.space.largest(), "steps": 2, "reuse": 2})
    some = [
        scheme
        for scheme in schemes(model, start, "onnxruntime")
        if scheme.name in ("fp32", "static int8, weighted")
    ]
    floats, static = quantize.QuantizationTrial(model, runtime, workload, tmp_path).run(some)
    assert {name for name in static.files if static.files[name] != floats.files[name]} == {
        "unet",
        "unet_shallow",
    }
    write_quantized(model, static, floats, runtime, workload, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert {row["format"] for row in manifest.parity} >= {"onnx text_encoder", "safetensors unet"}
    assert not {row["format"] for row in manifest.parity} & {"onnx unet", "onnx unet_shallow"}
    runner, inputs = Pipeline(tmp_path / "out", threads=1), fixed_inputs(model, 2)
    arrays = {name: x.numpy() for name, x in inputs.items()}
    made, wanted = sample(runner.sampling, runner.run, arrays), call(model.extract(start), inputs).numpy()
    assert 1e-4 < np.abs(made - wanted).max() / np.abs(wanted).max() < 0.5
    with pytest.raises(UsageError, match="already exists"):
        write_quantized(model, static, floats, runtime, workload, tmp_path / "out")


def test_a_pipeline_that_was_exported_is_where_it_starts_and_what_nas_quantize_points_to(
    pipeline: Path, model: Model, nas_run: Callable, quick: None, tmp_path: Path
) -> None:
    subnet = model.space.subnet({**model.space.smallest(), "steps": 1})
    Export(model=model, subnet=subnet, formats=parse_formats("safetensors")).write(tmp_path / "small")
    code, out, err = nas_run("quantize", tmp_path / "small")
    assert code == 2 and f"'nas diffusion quantize {tmp_path / 'small'}'" in err
    code, out, err = nas_run("diffusion", "quantize", tmp_path / "small")
    assert code == 2 and "give its folder with --model" in err
    args = ("--model", pipeline, "--runtime", "torch", "--threads", "1", "--psnr", "99.9")
    code, out, err = nas_run("diffusion", "quantize", tmp_path / "small", *args)
    assert code == 1 and "no choice keeps 99.9 dB" in err, err
    assert "int4 weights, all" in out and "static" not in out
    assert "recommended" not in out


def test_wrong_inputs_cost_a_sentence(nas_run: Callable, pipeline: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    for args, words in (
        ((tmp_path / "nowhere",), "nowhere"),
        ((taken,), "is no pipeline"),
        ((pipeline, "--output", taken), "already exists"),
        ((pipeline, "--runtime", "onnxrt"), "did you mean 'onnxruntime'"),
        ((pipeline, "--for", "beauty"), "beauty"),
    ):
        code, out, err = nas_run("diffusion", "quantize", *args)
        assert code == 2 and words in err and "Traceback" not in err, err
        assert not out


def test_a_pipeline_may_offer_no_bits(tmp_path: Path, nas_run: Callable) -> None:
    notes: dict[str, Any] = {"space": {"unet": {"depth": [1], "bits": None}}}
    folder = write_pipeline(tmp_path / "plain", notes)
    assert not [name for name in load_model(folder).space.names if name.endswith("bits")]
    code, _, err = nas_run("diffusion", "quantize", folder)
    assert code == 2 and "offers no bits" in err
