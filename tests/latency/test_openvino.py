"""OpenVINO computes what ONNX Runtime computes from the same files, and is measured like any runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Pass, quantize_layers
from nas.errors import NasError, UsageError
from nas.latency.measuring.measure import measure
from nas.latency.measuring.programs import write_sequence
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes import openvino as _openvino
from nas.latency.runtimes.base import Runtime
from nas.latency.runtimes.onnx import to_onnx
from nas.latency.workload import Workload
from tests.latency.test_integers import _net
from tests.latency.test_runtimes import QUICK, small

ONE = Workload(threads=1)


@pytest.fixture
def runtime() -> Runtime:
    found = get_runtime("openvino")
    if reason := found.unavailable():
        pytest.skip(reason)
    return found


def _both(path: Path, feed: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    wanted = get_runtime("onnxruntime").function(path, 1)(feed)
    return np.array(get_runtime("openvino").function(path, 1)(feed)), np.asarray(wanted)


def test_it_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openvino.OpenVino, "package", "no-such-package")
    with pytest.raises(NasError, match=r"pip install 'anyfit\[openvino\]'") as caught:
        get_runtime("openvino").require(ONE)
    assert "\n" not in str(caught.value)


def test_it_computes_what_onnxruntime_computes(runtime: Runtime, tmp_path: Path) -> None:
    to_onnx(_net(32), torch.zeros(1, 3, 4, 4), tmp_path / "net.onnx")
    for batch in (1, 3):
        x = torch.randn(batch, 3, 4, 4)
        found, wanted = _both(tmp_path / "net.onnx", {"input": x.numpy(), "unknown": x.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@torch.no_grad()
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("width", [520, 37])
def test_it_runs_weights_of_few_bits(runtime: Runtime, bits: int, width: int, tmp_path: Path) -> None:
    net, x = _net(bits, width), torch.randn(2, 3, 4, 4)
    to_onnx(net, x, tmp_path / "net.onnx")
    found = np.array(runtime.function(tmp_path / "net.onnx", 1)({"input": x.numpy()}))
    wanted = net(x).numpy()
    # Like ONNX Runtime it rounds what such a weight is multiplied with to 8 bits.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-2 * np.abs(wanted).max())


def test_it_is_measured_in_a_process_of_its_own(runtime: Runtime, tmp_path: Path) -> None:
    narrow = runtime.lower(small(), torch.zeros(1, 3, 32, 32), tmp_path / "narrow")
    wide = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 64, 64, 3) for i in range(4))).eval()
    packed = quantize_layers(wide, 8)
    programs = {
        "narrow": narrow,
        "wide": runtime.lower(packed, torch.zeros(1, 3, 32, 32), tmp_path / "wide"),
    }
    programs["twice"] = write_sequence(
        tmp_path / "twice", [Pass("wide", 2), Pass("narrow", 1, 2)], {**programs}
    )
    found = measure(programs, runtime, ONE, plan=QUICK)
    assert 0 < found["narrow"].median_ms < found["wide"].median_ms < found["twice"].median_ms


def test_bfloat16_is_run_where_the_processor_has_it(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = replace(ONE, precision="bf16")
    if "BF16" in _openvino._capabilities():
        runtime.require(workload)
        program = runtime.lower(small(), torch.zeros(1, 3, 8, 8), tmp_path / "net")
        assert measure({"net": program}, runtime, workload, plan=QUICK)["net"].median_ms > 0
    monkeypatch.setattr(_openvino, "_capabilities", lambda: ["FP32"])
    runtime.require(ONE)
    with pytest.raises(UsageError, match="ask for fp32"):
        runtime.require(workload)
