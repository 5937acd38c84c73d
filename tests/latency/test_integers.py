"""Weights of few bits in ONNX files: the same numbers, in as many bytes as they take; large files in two pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nas.elastic import quantize_layers, quantized_bytes, settle
from nas.latency.measuring.measure import measure
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes import onnx_files as files
from nas.latency.runtimes.onnx import to_onnx
from nas.latency.workload import Workload
from tests.latency.test_runtimes import QUICK


class _Net(nn.Module):
    """A convolution, a wide and a narrow matrix product, over three axes and over two."""

    def __init__(self, width: int = 520) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.wide = nn.Linear(5, width)
        self.narrow = nn.Linear(width, 6)
        self.flat = nn.Linear(width, 4)
        self.last = nn.Linear(width, 7, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.wide(self.conv(x).flatten(2).transpose(1, 2))
        return torch.cat([self.narrow(tokens).mean(1), self.flat(tokens.mean(1)), self.last(tokens[:, 0])], 1)


def _net(bits: int, width: int = 520) -> _Net:
    torch.manual_seed(0)
    net = _Net(width).eval()
    return net if bits == 32 else quantize_layers(net, bits)  # type: ignore[return-value]


def _run(path: Path, x: torch.Tensor, exact: bool = True) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if exact:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": x.numpy()})[0])


@torch.no_grad()
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("width", [520, 37])
def test_a_file_holds_integers_and_computes_what_torch_computes(
    bits: int, width: int, tmp_path: Path
) -> None:
    net, x, path = _net(bits, width), torch.randn(3, 3, 4, 4), tmp_path / "net.onnx"
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    to_onnx(net, x, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    expected = net(x).numpy()
    size = np.abs(expected).max()
    assert np.abs(_run(path, x) - expected).max() <= 1e-5 * size
    assert np.abs(_run(path, x, exact=False) - expected).max() <= 2e-2 * size
    again = tmp_path / "again.onnx"
    to_onnx(settle(net), x, again)
    assert again.read_bytes() == path.read_bytes()
    model: Any = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    kind = onnx.TensorProto.INT4 if bits == 4 else onnx.TensorProto.INT8
    held = [tensor for tensor in model.graph.initializer if tensor.data_type == kind]
    assert len(held) == 5
    assert not [t for t in model.graph.initializer if t.data_type == 1 and len(t.dims) > 2]
    weights = [layer.weight.shape for layer in (net.conv, net.wide, net.narrow, net.flat, net.last)]
    least = sum(quantized_bytes(shape, bits) for shape in weights)
    given = sum(len(t.raw_data) for t in model.graph.initializer if t.name.endswith((".integers", ".scale")))
    assert 0.95 * least <= given < 1.1 * least
    unpacked = {node.op_type for node in model.graph.node}
    assert ("DequantizeLinear" in unpacked) == (width == 520)


def test_a_wide_product_is_computed_with_integers(tmp_path: Path) -> None:
    for bits in (4, 8):
        to_onnx(_net(bits), torch.randn(1, 3, 4, 4), tmp_path / "net.onnx")
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "made.onnx")
        onnxruntime.InferenceSession(tmp_path / "net.onnx", options, providers=["CPUExecutionProvider"])
        kinds = [node.op_type for node in onnx.load(str(tmp_path / "made.onnx")).graph.node]
        assert kinds.count("MatMulNBits") == 3
        assert not {"DequantizeLinear", "Cast", "Mul", "Pad"} & {*kinds}, "the others are unpacked once"


def test_equal_weights_and_zeros_are_found(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    with torch.no_grad():
        for layer in net:
            layer.weight.zero_()  # type: ignore[union-attr,operator]
    to_onnx(quantize_layers(net, 4), torch.ones(1, 4), tmp_path / "net.onnx")
    np.testing.assert_allclose(_run(tmp_path / "net.onnx", torch.ones(1, 4)), net(torch.ones(1, 4)).detach())


@torch.no_grad()
@pytest.mark.parametrize("bits", [4, 32])
def test_weights_of_a_large_network_stand_beside_the_file(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 2000)
    net, x, path = _net(bits), torch.randn(2, 3, 4, 4), tmp_path / "net.onnx"
    for _ in range(2):  # a second time it is written anew, not appended to
        to_onnx(net, x, path)
        beside = files.data_file(path)
        assert beside.name == "net.onnx.data"
        assert files.onnx_bytes(path) == path.stat().st_size + beside.stat().st_size
        assert path.stat().st_size < beside.stat().st_size < 60_000
        np.testing.assert_allclose(_run(path, x), net(x), rtol=0, atol=1e-5)
    (tmp_path / "other").mkdir()
    target = tmp_path / "other" / "model.onnx"
    files.copy_onnx(path, target)
    assert {file.name for file in target.parent.iterdir()} == {"model.onnx", "model.onnx.data"}
    path.unlink()
    beside.unlink()
    np.testing.assert_allclose(_run(target, x), net(x), rtol=0, atol=1e-5)
    measured = measure({"net": target}, get_runtime("onnxruntime"), Workload(threads=1), plan=QUICK)
    assert measured["net"].median_ms > 0
