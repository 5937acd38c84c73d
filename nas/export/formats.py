"""The file formats an artifact can hold: how each is written, opened again and used.

A new format is one class here. Writers serialise in memory where they can, so that a full disk is an `OSError`
of the final write and not a crash inside a C++ library.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.elastic import Inputs, call, named_inputs, packed
from nas.errors import UsageError
from nas.export.manifest import WEIGHTS
from nas.export.weights import load_weights, save_weights
from nas.latency.runtimes.onnx import export_arguments, to_onnx
from nas.models.task import Forward

if TYPE_CHECKING:
    from torch import Tensor, nn


class Format:
    """One file of an artifact.

    Life cycle: `write` lowers the static module (eval mode) to `file`, with `facts` (text by name) as metadata;
    `open` returns a function of the network's inputs that runs the file, given what builds the network without weights.
    `tolerance` bounds max|Δ| ÷ max|reference| against the supernet.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    tolerance: ClassVar[float]
    is_whole: ClassVar[bool] = False
    """Whether one file holds everything, also where an output takes several programs."""

    def file_of(self, program: str) -> str:
        """Return the name of the file of a program; the whole network has no name."""
        return f"{program}{Path(self.file).suffix}" if program else self.file

    def write(self, module: nn.Module, example: Inputs, path: Path, facts: Mapping[str, str]) -> None:
        """Write the module to `path`."""
        raise NotImplementedError

    def open(self, path: Path, build: Callable[[], nn.Module]) -> Forward:
        """Return a function that runs the file on the CPU."""
        raise NotImplementedError


class Safetensors(Format):
    """The weights alone, by name; the network is built from `subnet.json`. No pickle is involved."""

    name = "safetensors"
    file = WEIGHTS
    tolerance = 1e-5
    is_whole = True

    def write(self, module: nn.Module, example: Inputs, path: Path, facts: Mapping[str, str]) -> None:
        path.write_bytes(save_weights(module, facts))

    def open(self, path: Path, build: Callable[[], nn.Module]) -> Forward:
        return partial(call, load_weights(build(), path))


class Onnx(Format):
    """ONNX with a dynamic batch, lowered by the function that latency is measured with.

    `exact` keeps what a matrix product of integers is multiplied with as floats, which ONNX Runtime would round to 8
    bits: slower, but a file is then as near to the supernet as any. It changes nothing for a network of floats.
    """

    name = "onnx"
    file = "model.onnx"
    tolerance = 1e-4

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact

    def write(self, module: nn.Module, example: Inputs, path: Path, facts: Mapping[str, str]) -> None:
        import onnx

        with _quiet():
            to_onnx(module, example, path)
        model = onnx.load(str(path), load_external_data=False)
        onnx.helper.set_model_props(model, dict(facts))
        path.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(path), full_check=True)

    def open(self, path: Path, build: Callable[[], nn.Module]) -> Forward:
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        if self.exact:
            options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def forward(x: Inputs) -> Tensor:
            feed = {key: value.contiguous().numpy() for key, value in named_inputs(x, name).items()}
            return torch.from_numpy(session.run(None, feed)[0])

        return forward


class Pt2(Format):
    """A `torch.export` program with a dynamic batch: runs in torch (also in C++) without anyfit.

    Weights of few bits are packed in it, and made floats at each call.
    """

    name = "pt2"
    file = "model.pt2"
    tolerance = 1e-5

    def write(self, module: nn.Module, example: Inputs, path: Path, facts: Mapping[str, str]) -> None:
        import torch

        args, kwargs, shapes = export_arguments(module, example)
        buffer = io.BytesIO()
        with _quiet(), torch.no_grad():
            program = torch.export.export(packed(module), args, kwargs, dynamic_shapes=shapes)
            torch.export.save(program, buffer, extra_files=dict(facts))
        path.write_bytes(buffer.getvalue())

    def open(self, path: Path, build: Callable[[], nn.Module]) -> Forward:
        import torch

        with _quiet():
            return partial(call, torch.export.load(path).module())


FORMATS: dict[str, Format] = {format.name: format for format in (Safetensors(), Onnx(), Pt2())}


def parse_formats(text: str) -> tuple[Format, ...]:
    """Read "onnx", "onnx,pt2" or "all"; the safetensors file that `nas.load` reads is always among the result."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS and name != "all"]
    if unknown or not names:
        raise UsageError(
            f"--format {text!r} names no known format; give one or several of {', '.join(FORMATS)} "
            "with commas between, or all"
        )
    wanted = {*FORMATS} if "all" in names else {Safetensors.name, *names}
    return tuple(format for name, format in FORMATS.items() if name in wanted)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' warnings: none of them is about the user's model."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.onnx", "onnxscript")]
    levels: list[tuple[Any, int]] = [(logger, logger.level) for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in levels:
                logger.setLevel(level)
