"""What a module must be to be derived; what it is not costs one sentence."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from nas.errors import UsageError


def check_module(module: object, name: str = "the model") -> nn.Module:
    """Return the module that was given, if it can be worked with: a plain one, with floats on the processor.

    Raises:
        UsageError: It is something else; the sentence says what to do.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{name} is a ScriptModule, whose Python code is gone; give the nn.Module that it was made of"
        )
    if inspect.isclass(module) and issubclass(module, nn.Module):
        raise UsageError(
            f"{name} is the class {module.__name__}; give a network of it, such as {module.__name__}(...)"
        )
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{name} is a {type(module).__name__}, but a torch.nn.Module is expected; give the network itself"
        )
    if (quantized := _quantized(module)) is not None:
        raise UsageError(
            f"{name} is quantized already ({quantized}); give it as it was before, `nas quantize` does that at the end"
        )
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for own, tensor in tensors:
        if tensor.device.type == "meta":
            raise UsageError(f"{name} has no weights: its {own} is on the meta device; load them first")
        if tensor.device.type != "cpu":
            raise UsageError(f"{name} is on {tensor.device}; give it on the processor: model.cpu()")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise UsageError(f"{name} is in {dtype}: its {own}; give it in single precision: model.float()")
    return module


def _quantized(module: nn.Module) -> str | None:
    """Return what in a module is quantized, or None."""
    for each in module.modules():
        home = type(each).__module__
        if ".quantized" in home or home.startswith(("bitsandbytes", "torchao.quantization")):
            return type(each).__name__
    for tensor in (*module.parameters(), *module.buffers()):
        kind = type(tensor.data)
        if tensor.is_quantized or kind.__module__.startswith("torchao"):
            return kind.__name__ if kind is not Tensor else "its weights"
    return None
