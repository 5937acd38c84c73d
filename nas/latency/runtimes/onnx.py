"""Lowering to ONNX, the one function for what is measured and what is shipped.

The TorchScript exporter takes 0.3 s for a MobileNetV3, the dynamo exporter 8 s; they give the same network. The fast
one is deprecated, so the other takes over where it is gone or does not know an operator.
"""

from __future__ import annotations

import copy
import inspect
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from nas import elastic
from nas.errors import NasError
from nas.latency.runtimes import onnx_files as files

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 20
INPUT, OUTPUT = "input", "output"


MAX_BATCH = 65536


def to_onnx(module: nn.Module, example: elastic.Inputs, path: str | Path) -> None:
    """Write `module` (eval mode) as ONNX with a dynamic batch; `example` is an input batch, or several by name.

    Several inputs keep their names in the graph. A module that takes only batches up to a size has it as `max_batch`.
    Weights of few bits are written as integers; a network of more than about 2 GB has its weights in a file beside
    `path`. Deterministic: the same module gives the same bytes. Raises `NasError` when no exporter can write it.
    """
    from nas.latency.runtimes.integers import with_integers

    module = _settled(module)
    with _quiet():
        try:
            model = _torchscript(module, example)
        except Exception as first:
            try:
                model = _dynamo(module, example)
            except Exception as error:
                reason = str(error or first).strip().partition("\n")[0]
                raise NasError(
                    f"{type(module).__name__} cannot be written as ONNX: {reason}; "
                    "use a runtime that runs torch modules"
                ) from error
    files.save_onnx(with_integers(model, module), Path(path))


def _settled(module: nn.Module) -> nn.Module:
    """Return `module`, or a copy of it, whose weights of few bits are plain tensors in a trace."""
    if all(layer.is_settled for _, layer in elastic.quantized_layers(module)):
        return module
    return elastic.settle(copy.deepcopy(module).eval())


def _torchscript(module: nn.Module, example: elastic.Inputs) -> Any:
    """Return the model that the TorchScript exporter writes."""
    import onnx
    import torch

    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        raise NotImplementedError("this torch has a single ONNX exporter")
    # Typed as Any: the exporter writes to a buffer, but its annotations promise files only.
    export: Any = torch.onnx.export
    inputs = elastic.named_inputs(example, INPUT)
    has_few_bits = any(True for _ in elastic.quantized_layers(module))
    with torch.no_grad(), tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        # Only to a path it writes more than 2 GB, weights in files beside it.
        large = sum(tensor.nbytes for tensor in module.state_dict().values()) > files.MOST_BYTES
        target: Any = str(Path(scratch, "model.onnx")) if large else io.BytesIO()
        export(
            *elastic.positional(module, example),
            target,
            dynamo=False,
            opset_version=OPSET,
            input_names=[*inputs],
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "batch"} for name in (*inputs, OUTPUT)},
            # The exporter folds BatchNorm into convolutions, which changes weights of few bits; a runtime folds it too.
            training=torch.onnx.TrainingMode.PRESERVE if has_few_bits else torch.onnx.TrainingMode.EVAL,
        )
        model = onnx.load(target) if large else onnx.load_from_string(target.getvalue())
    return model if isinstance(example, torch.Tensor) else _with_every_input(model, inputs)


def _with_every_input(model: Any, inputs: Mapping[str, Tensor]) -> Any:
    """Return the model with the inputs that no operator reads, which tracing drops: all subnets are fed alike."""
    known = {value.name: value for value in model.graph.input}
    if known.keys() == inputs.keys():
        return model
    values = [known[name] if name in known else _value(name, x) for name, x in inputs.items()]
    del model.graph.input[:]
    model.graph.input.extend(values)
    return model


def _value(name: str, x: Tensor) -> Any:
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(x.cpu().numpy().dtype)
    return onnx.helper.make_tensor_value_info(name, kind, ["batch", *x.shape[1:]])


def _dynamo(module: nn.Module, example: elastic.Inputs) -> Any:
    """Return the model that the dynamo exporter writes."""
    import torch

    args, kwargs, shapes = export_arguments(module, example)
    with torch.no_grad():
        program = torch.onnx.export(
            module,
            args,
            kwargs=kwargs,
            dynamo=True,
            opset_version=OPSET,
            input_names=[*elastic.named_inputs(example, INPUT)],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise NotImplementedError("the dynamo exporter returned no program")
    return program.model_proto


def export_arguments(
    module: nn.Module, example: elastic.Inputs
) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Return what `torch.export` takes for a dynamic batch: arguments, keyword arguments and dynamic shapes."""
    import torch

    # An example of one image would specialise the program to batches of one.
    first = elastic.map_inputs(lambda x: x[:1], example)
    batch = elastic.cat_inputs([first, first])
    dynamic = {0: torch.export.Dim("batch", min=1, max=getattr(module, "max_batch", MAX_BATCH))}
    if isinstance(batch, torch.Tensor):
        return (batch,), {}, (dynamic,)
    return (), dict(batch), dict.fromkeys(batch, dynamic)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters: their warnings are about themselves, not about the network."""
    import torch

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), ExitStack() as patches:
        warnings.simplefilter("ignore")
        # torch always turns this log on, and it prints whole graphs to the standard output where an export fails.
        if hasattr(torch._C, "_jit_set_onnx_log_enabled"):
            patches.enter_context(patch.object(torch._C, "_jit_set_onnx_log_enabled", lambda enabled: None))
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
