"""int8 files: worth it, or refused; what they cost is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from nas._errors import NasError
from nas.compress import quantize_onnx
from nas.export import quantize_artifact, read_manifest
from nas.families import Model
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.train.classification import Top1


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_int8_computes_nearly_the_same_from_a_smaller_file(artifact: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((4, 3, 24, 24), dtype=np.float32) for _ in range(2)]
    target = tmp_path / "int8.onnx"
    quantize_onnx(artifact / "model.onnx", target, batches)
    given, expected = (run(path, batches[0]) for path in (target, artifact / "model.onnx"))
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() < 0.5 * np.abs(expected).max()
    assert target.stat().st_size < (artifact / "model.onnx").stat().st_size
    with pytest.raises(NasError, match="cannot be quantized"):
        quantize_onnx(artifact / "README.md", tmp_path / "other.onnx", batches)
    assert not (tmp_path / "other.onnx").exists()


def test_an_artifact_gets_an_int8_file_with_its_figures(model: Model, artifact: Path, tmp_path: Path) -> None:
    images = torch.randint(
        0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    judge = Top1(images, torch.arange(40) % 3, "noise")
    output, runtime = tmp_path / "int8", get_runtime("onnxruntime")
    found = quantize_artifact(artifact, output, model, [judge], runtime, Workload(1, 1), worth=0.0)
    manifest = read_manifest(output)
    assert {"model.int8.onnx", "model.onnx", "README.md"} <= set(manifest.files)
    assert [item.precision for item in manifest.latency][-2:] == ["fp32", "int8"]
    assert manifest.quality[-1].data.endswith("int8") and 0 <= manifest.quality[-1].value <= 100
    assert "## int8" in (output / "README.md").read_text() and found.speedup > 0


def test_what_is_not_worth_it_is_refused_and_leaves_nothing(
    model: Model, artifact: Path, tmp_path: Path
) -> None:
    runtime = get_runtime("onnxruntime")
    with pytest.raises(NasError, match="nothing was written, use fp32"):
        quantize_artifact(artifact, tmp_path / "int8", model, [], runtime, Workload(1, 1), worth=1e6)
    assert not any(tmp_path.iterdir())


def test_the_command(model_folder: Path, artifact: Path, tmp_path: Path, nas_run: Callable) -> None:
    outcome = nas_run("quantize", artifact, "--model", model_folder, "--output", tmp_path / "x", "--json")
    if outcome.code:  # this machine is no faster in int8
        assert outcome.code == 1 and "nothing was written" in outcome.stderr
    else:
        assert json.loads(outcome.stdout)["speedup"] >= 1.2
    refused = nas_run("quantize", tmp_path)
    assert refused.code == 2 and "no exported model" in refused.stderr
    existing = nas_run("quantize", artifact, "--model", model_folder, "--output", tmp_path)
    assert existing.code == 2 and "already exists" in existing.stderr
