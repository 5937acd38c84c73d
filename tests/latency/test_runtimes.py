"""Runtimes by name, lowering, and the process that measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from nas.families import get_family
from nas.latency.macs import macs_by_operator
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import TurnPlan, measure
from nas.latency.runtimes import default_runtime, get_runtime, runtime_names
from nas.latency.runtimes.onnx import to_onnx
from nas.latency.workload import Workload

QUICK = TurnPlan(min_bursts=3, max_bursts=3, burst_ms=0.5)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def test_names() -> None:
    assert runtime_names()[0] == "onnxruntime" and default_runtime().name == "onnxruntime"
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        get_runtime("onnxruntim")


def test_workload_is_checked() -> None:
    assert Workload.from_dict(Workload(2, 1).to_dict()) == Workload(2, 1)
    with pytest.raises(UsageError, match="batch_size"):
        Workload(batch_size=0)
    with pytest.raises(UsageError, match="precision"):
        Workload(precision="int3")
    with pytest.raises(UsageError, match="threads are asked for"):
        get_runtime("torch").require(Workload(threads=10_000))
    with pytest.raises(UsageError, match="runs fp32"):
        get_runtime("onnxruntime").require(Workload(precision="bf16", threads=1))


def test_onnx_has_a_dynamic_batch_and_the_same_output(tmp_path: Path) -> None:
    import onnxruntime

    module = small()
    to_onnx(module, torch.zeros(1, 3, 8, 8), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        x = torch.randn(batch, 3, 8, 8)
        with torch.no_grad():
            expected = module(x).numpy()
        assert np.allclose(np.asarray(session.run(None, {"input": x.numpy()})[0]), expected, atol=1e-6)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="absent.onnx"):
        measure({"a": tmp_path / "absent.onnx"}, "onnxruntime", Workload(threads=1), plan=QUICK)


def test_fingerprint_is_stable_and_tells_differences() -> None:
    here = machine_fingerprint()
    assert here == machine_fingerprint() and len(here.digest) == 8
    other = {**here.to_dict(), "cores": here.cores + 1}
    assert here.differences(here.to_dict()) == []
    assert "cores" in here.differences(other)[0]
    assert json.dumps(here.to_dict())


def test_fvcore_counts_the_same_macs() -> None:
    net = Supernet(get_family("mbv3-small-image"))
    subnet = net.space.smallest()
    found = macs_by_operator(net.extract(subnet), net.family.example_input(subnet))
    assert found["conv"] + found["linear"] == net.count(subnet).macs
