"""Torch as a runtime: eager or compiled on the processor, eager on a CUDA device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.runtimes._base import Recipe, Run, Runtime
from nas.latency.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor, nn

_SEED = 0
_COMPILERS = ("g++", "clang++", "c++")


class TorchEager(Runtime):
    """A module called as it is, in inference mode, channels last."""

    name = "torch"
    package = "torch"
    precisions = ("fp32", "bf16")

    def lower(self, module: nn.Module, example: Tensor, path: Path, recipe: Recipe | None = None) -> Path:
        """Write a recipe (JSON, with the weights beside it), or a `torch.export` program where there is none.

        A recipe takes milliseconds and runs the very module; an exported program takes seconds.
        """
        import torch
        from safetensors.torch import save_file

        if recipe is None:
            program = path.with_suffix(".pt2")
            with torch.no_grad():
                torch.export.save(torch.export.export(module, (example,)), program)
            return program
        program = path.with_suffix(".json")
        program.write_text(json.dumps({**recipe, "input": list(example.shape)}))
        weights = {name: value.contiguous() for name, value in module.state_dict().items()}
        save_file(weights, program.with_suffix(".safetensors"))
        return program

    def load(self, path: Path, workload: Workload) -> Run:
        import torch

        torch.set_num_threads(workload.threads)
        module, shape = _open(path)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[workload.precision]
        torch.manual_seed(_SEED)
        x = torch.randn(workload.batch_size, *shape[1:])
        layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        x = x.to(self.device, dtype, memory_format=layout)
        return self._run(module.to(self.device, dtype), x)

    def _run(self, module: nn.Module, x: Tensor) -> Run:
        import torch

        def run() -> Tensor:
            with torch.inference_mode():
                return module(x)

        return run


class TorchCompiled(TorchEager):
    """The same module through `torch.compile`; the first call compiles it, which takes seconds to a minute."""

    name = "torch-compile"

    def unavailable(self) -> str | None:
        missing = super().unavailable()
        if missing is None and not any(shutil.which(name) for name in _COMPILERS):
            return "torch.compile needs a C++ compiler and none is on the PATH; install g++ or clang++"
        return missing

    def _run(self, module: nn.Module, x: Tensor) -> Run:
        import torch

        module.requires_grad_(False)
        # Another subnet is another graph: without a reset torch would try to generalise over their shapes.
        torch._dynamo.reset()
        compiled: Any = torch.compile(module, dynamic=False)
        run = super()._run(compiled, x)
        run()
        return run


class TorchCuda(TorchEager):
    """Eager torch on a CUDA device; a run ends when the device has finished."""

    name = "cuda"
    device = "cuda"
    precisions = ("fp32", "bf16", "fp16")

    def unavailable(self) -> str | None:
        if missing := super().unavailable():
            return missing
        import torch

        return None if torch.cuda.is_available() else "torch finds no CUDA device; choose another runtime"

    def _run(self, module: nn.Module, x: Tensor) -> Run:
        import torch

        forward = super()._run(module, x)

        def run() -> object:
            result = forward()
            torch.cuda.synchronize()
            return result

        return run


def _open(path: Path) -> tuple[nn.Module, list[int]]:
    """Return the module of a program file and the shape of its input."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".pt2":
        program = torch.export.load(path)
        if program.example_inputs is None:
            raise ValueError(f"{path} holds no example input")
        (example,), _ = program.example_inputs
        return program.module(), list(example.shape)
    recipe = json.loads(path.read_text())
    from nas.elastic import channels_last
    from nas.families import get_family

    family = get_family(recipe["family"], **recipe["options"])
    module = family.build(family.space.from_dict(recipe["subnet"]))
    module.load_state_dict(load_file(path.with_suffix(".safetensors")))
    return channels_last(module.eval()), recipe["input"]
