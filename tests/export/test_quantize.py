"""int8 files: worth it, or refused; what they cost is measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nas.compress import SCOPES, quantize_onnx
from nas.errors import NasError
from nas.export import quantize_artifact, read_manifest
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import Evaluator, Model, Quality
from nas.tasks.classification import Top1


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


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_each_scope_leaves_more_in_fp32(artifact: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 24, 24), dtype=np.float32)
    expected, counts = run(artifact / "model.onnx", x), []
    for scope in SCOPES:
        quantize_onnx(artifact / "model.onnx", target := tmp_path / f"{scope}.onnx", [x], scope)
        assert 0 < np.abs(run(target, x) - expected).max() < 0.5 * np.abs(expected).max()
        counts.append(operators(target)["DequantizeLinear"])
    assert counts[0] > counts[1] > counts[2] > 0


class Outputs(Evaluator):
    """Minus the squared distance of a file's outputs from fp32's."""

    quality = Quality("fidelity", "fidelity")
    data = "noise"

    def __init__(self, expected: np.ndarray, x: torch.Tensor) -> None:
        self.expected, self.x = torch.from_numpy(expected), x

    def __call__(self, model: Model, forward: Callable, subnet: Any) -> float:
        return -float((forward(self.x) - self.expected).square().mean())


@pytest.mark.parametrize("judged", [True, False])
def test_the_most_accurate_scope_is_taken(judged: bool, model: Model, artifact: Path, tmp_path: Path) -> None:
    x, _ = model.task.inputs(model, model.space.smallest(), 256)
    expected = run(artifact / "model.onnx", x.contiguous().numpy())
    evaluators = [Outputs(expected, x)] if judged else []
    runtime = get_runtime("onnxruntime")
    found = quantize_artifact(artifact, tmp_path / "x", model, evaluators, runtime, Workload(1, 1), worth=0.0)
    assert found.tried.keys() == SCOPES.keys()
    errors = {}
    for scope in SCOPES:
        batches = [part.contiguous().numpy() for part in x.split(32)]
        quantize_onnx(artifact / "model.onnx", tmp_path / f"{scope}.onnx", batches, scope)
        errors[scope] = float(
            np.square(run(tmp_path / f"{scope}.onnx", x.contiguous().numpy()) - expected).mean()
        )
    assert found.scope == min(errors, key=lambda scope: errors[scope])
    assert (tmp_path / "x" / "model.int8.onnx").stat().st_size == (
        tmp_path / f"{found.scope}.onnx"
    ).stat().st_size
    if judged:
        assert found.quality[0][1].value == pytest.approx(-errors[found.scope], rel=1e-3)


def test_an_artifact_gets_an_int8_file_with_its_figures(model: Model, artifact: Path, tmp_path: Path) -> None:
    images = torch.randint(
        0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    evaluator = Top1(images, torch.arange(40) % 3, "noise")
    output, runtime = tmp_path / "int8", get_runtime("onnxruntime")
    found = quantize_artifact(artifact, output, model, [evaluator], runtime, Workload(1, 1), worth=0.0)
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
