"""Runtimes by name. Another one joins through the entry point group "anyfit.runtimes" (a `Runtime` subclass)."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from nas.errors import UsageError
from nas.latency.runtimes.base import BuildRecipe, Run, Runtime
from nas.latency.runtimes.onnx_files import copy_onnx, onnx_bytes
from nas.latency.runtimes.sequence import read_sequence

__all__ = [
    "BuildRecipe",
    "Run",
    "Runtime",
    "copy_onnx",
    "default_runtime",
    "get_runtime",
    "onnx_bytes",
    "read_sequence",
    "runtime_names",
]

GROUP = "anyfit.runtimes"
DEFAULT = "onnxruntime"
_BUILT_IN = {
    "onnxruntime": "nas.latency.runtimes.onnxruntime:OnnxRuntime",
    "openvino": "nas.latency.runtimes.openvino:OpenVino",
    "torch": "nas.latency.runtimes.torch:TorchEager",
    "torch-compile": "nas.latency.runtimes.torch:TorchCompiled",
    "cuda": "nas.latency.runtimes.torch:TorchCuda",
}


@cache
def _targets() -> dict[str, str]:
    """Where each runtime is defined; the built-in ones stand first and cannot be replaced."""
    return {**{entry.name: entry.value for entry in entry_points(group=GROUP)}, **_BUILT_IN}


def runtime_names() -> list[str]:
    """Return the names of all runtimes, the built-in ones first."""
    return [*_BUILT_IN, *(name for name in sorted(_targets()) if name not in _BUILT_IN)]


def get_runtime(name: str) -> Runtime:
    """Return a runtime by name, whether it can be used here or not; an unknown name raises `UsageError`."""
    if name not in _targets():
        near = difflib.get_close_matches(name, runtime_names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}" if near else "choose one of these"
        raise UsageError(f"there is no runtime {name!r}, but {', '.join(runtime_names())}; {hint}")
    module, _, attribute = _targets()[name].partition(":")
    return getattr(import_module(module), attribute)()


def default_runtime() -> Runtime:
    """Return ONNX Runtime, or torch where it is not installed."""
    runtime = get_runtime(DEFAULT)
    return runtime if runtime.unavailable() is None else get_runtime("torch")


def chosen_runtime(name: str | None) -> Runtime:
    """Return a runtime by name, or without one the default of this machine."""
    return default_runtime() if name is None else get_runtime(name)
