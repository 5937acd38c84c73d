"""A pipeline under OpenVINO: its programs give what ONNX Runtime gives, and the commands take the runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffusion.compress import quantization as quantize
from diffusion.evaluation.quality import psnr
from nas.elastic import named_inputs
from nas.latency.measuring.programs import lower_program
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import load_model


@pytest.fixture(autouse=True)
def needed() -> None:
    if reason := get_runtime("openvino").unavailable():
        pytest.skip(reason)


def test_the_programs_of_a_pipeline_give_the_same(pipeline: Path, tmp_path: Path) -> None:
    model, openvino = load_model(pipeline), get_runtime("openvino")
    subnet = model.space.largest()
    network = model.extract(subnet)
    for name, program in model.family.programs.items():
        path = lower_program(network, model.family, name, subnet, openvino, tmp_path)
        feed = {key: x.numpy() for key, x in named_inputs(program.example(subnet, 2), "input").items()}
        found = np.array(openvino.function(path, 1)(feed))
        wanted = np.asarray(get_runtime("onnxruntime").function(path, 1)(feed))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(), err_msg=name)


def test_pipelines_are_compared(pipeline: Path, nas_run: Callable, tmp_path: Path) -> None:
    done = nas_run(
        "diffusion", "compare", pipeline, f"{pipeline}@steps=2", "--prompt", "cat", "--images", "2",
        "--no-measure", "--threads", "1", "--output", tmp_path / "a.png", "--runtime", "openvino", "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    first, fewer = json.loads(done.stdout)["pipelines"]
    assert first["difference"] is None and 0 < fewer["difference"]["psnr_db"] < 60


@pytest.mark.parametrize("name", ["int4 weights, all", "static int8, inner"])
def test_bits_are_tried(name: str, pipeline: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quantize, "_PICTURES", 2)
    model = load_model(pipeline)
    subnet = model.space.subnet({**model.space.largest(), "steps": 1})
    every = {scheme.name: scheme for scheme in quantize.schemes(model, subnet, "openvino")}
    assert quantize.DYNAMIC not in every
    trial = quantize.QuantizationTrial(model, get_runtime("openvino"), Workload(threads=1), tmp_path)
    made = [trial._pictures(scheme, trial._write(scheme)) for scheme in (every[quantize.FLOAT], every[name])]
    assert 20 < psnr(made[1], made[0]) < 100
