"""ONNX Runtime's int8: static and dynamic, of files in one piece and of large ones with their weights beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nas.compress import quantize_onnx, quantize_onnx_dynamically
from nas.errors import NasError
from nas.latency.runtimes import onnx_files as files
from nas.latency.runtimes.onnx import to_onnx


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(128, 24)).eval()


@torch.no_grad()
@pytest.mark.parametrize("most", [2000, files.MOST_BYTES])
@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_int8_is_near_and_smaller(
    how: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", most)
    net, x = _net(), torch.randn(8, 3, 4, 4)
    source, target = tmp_path / "net.onnx", tmp_path / "out" / "int8.onnx"
    to_onnx(net, x, source)
    assert files.data_file(source).exists() == (most == 2000)
    if how == "static":
        quantize_onnx(source, target, [x.numpy()])
    else:
        quantize_onnx_dynamically(source, target)
    source.unlink()
    assert files.onnx_bytes(target) < 0.75 * sum(p.nbytes for p in net.parameters())
    kinds = {node.op_type for node in onnx.load(str(target)).graph.node}
    assert ("QuantizeLinear" in kinds) == (how == "static")
    assert ("MatMulInteger" in kinds) == (how == "dynamic")
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    expected = net(x).numpy()
    given = np.asarray(session.run(None, {"input": x.numpy()})[0])
    assert 0 < np.abs(given - expected).max() <= 0.05 * np.abs(expected).max()


def test_what_is_no_network_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    for quantize in (quantize_onnx_dynamically, lambda source, target: quantize_onnx(source, target, [])):
        with pytest.raises(NasError, match="cannot be quantized"):
            quantize(tmp_path / "net.onnx", tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()
