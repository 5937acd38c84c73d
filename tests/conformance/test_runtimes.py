"""Every runtime through the one suite."""

from __future__ import annotations

from nas.testing.runtimes import RuntimeCase, RuntimeSuite


class TestOnnxRuntime(RuntimeSuite):
    case = RuntimeCase("onnxruntime")


class TestOpenVino(RuntimeSuite):
    case = RuntimeCase("openvino")


class TestTorch(RuntimeSuite):
    case = RuntimeCase("torch")


class TestTorchCompiled(RuntimeSuite):
    case = RuntimeCase(
        "torch-compile",
        compiles=True,
        family="anycost",
        options={"resolution": 16, "multiplier": 0.02, "style": 16},
    )


class TestCuda(RuntimeSuite):
    case = RuntimeCase("cuda")
