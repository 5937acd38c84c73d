"""Torch as a runtime: eager or compiled on the processor, eager on a CUDA device."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import elastic
from nas.families import get_family
from nas.latency.runtimes.base import BuildRecipe, Run, Runtime
from nas.latency.workload import Workload

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_SEED = 0
_COMPILERS = ("g++", "clang++", "c++")


class TorchEager(Runtime):
    """A module called as it is, in inference mode, channels last."""

    name = "torch"
    package = "torch"
    builds = True
    precisions = ("fp32", "bf16")

    def lower(
        self, module: nn.Module, example: elastic.Inputs, path: Path, recipe: BuildRecipe | None = None
    ) -> Path:
        """Write a recipe (JSON, with the weights beside it), or a `torch.export` program where there is none.

        A recipe takes milliseconds and runs the very module; an exported program takes seconds. Of a module on the meta
        device the recipe alone is written: the process that runs it gives the network first weights of its own. Weights
        of few bits are run packed, as diffusers' folders hold them: made floats at each call, so never quicker than
        floats.
        """
        import torch
        from safetensors.torch import save_file

        module = elastic.packed(module)
        if recipe is None:
            program = path.with_suffix(".pt2")
            with torch.no_grad():
                single = isinstance(example, torch.Tensor)
                exported = torch.export.export(
                    module, (example,) if single else (), None if single else dict(example)
                )
                torch.export.save(exported, program)
            return program
        program = path.with_suffix(".json")
        specs = {name: _spec(x) for name, x in elastic.named_inputs(example, "").items()}
        state, names = module.state_dict(), _once(module)
        weights = {name: value for name, value in state.items() if name in names}
        size = sum(value.numel() * value.element_size() for value in weights.values())
        program.write_text(json.dumps({**recipe, "inputs": specs, "bytes": size}))
        if not any(value.is_meta for value in weights.values()):
            contiguous = {name: value.contiguous() for name, value in weights.items()}
            save_file(contiguous, program.with_suffix(".safetensors"))
        return program

    def load(self, path: Path, workload: Workload) -> Run:
        import torch

        torch.set_num_threads(workload.threads)
        torch.manual_seed(_SEED)
        module, specs = _open(path, self.device)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[workload.precision]
        torch.manual_seed(_SEED)
        inputs = {name: _noise(spec, workload.batch_size, dtype, self.device) for name, spec in specs.items()}
        return self._run(module.to(self.device, dtype), inputs.get("", inputs))

    def _run(self, module: nn.Module, x: elastic.Inputs) -> Run:
        import torch

        def run() -> Tensor:
            with torch.inference_mode():
                return elastic.call(module, x)

        return run


class TorchCompiled(TorchEager):
    """The same module through `torch.compile`; the first call compiles it, which takes seconds to a minute."""

    name = "torch-compile"

    def unavailable(self) -> str | None:
        missing = super().unavailable()
        if missing is None and not any(shutil.which(name) for name in _COMPILERS):
            return "torch.compile needs a C++ compiler and none is on the PATH; install g++ or clang++"
        return missing

    def _run(self, module: nn.Module, x: elastic.Inputs) -> Run:
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

    def _run(self, module: nn.Module, x: elastic.Inputs) -> Run:
        import torch

        forward = super()._run(module, x)

        def run() -> object:
            result = forward()
            torch.cuda.synchronize()
            return result

        return run


Spec = tuple[list[int], str]


def _spec(x: Tensor) -> Spec:
    """Return the shape and the type's name of an input."""
    return list(x.shape), str(x.dtype).removeprefix("torch.")


def _noise(spec: Spec, batch_size: int, dtype: torch.dtype, device: str) -> Tensor:
    """Return an input: random numbers of `dtype`, images channels last, or zeros where whole numbers are taken."""
    import torch

    (_, *shape), kind = spec
    own = getattr(torch, kind)
    if not own.is_floating_point:
        return torch.zeros(batch_size, *shape, dtype=own, device=device)
    layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    return torch.randn(batch_size, *shape).to(device, dtype, memory_format=layout)


def _once(module: nn.Module) -> set[str]:
    """Return the names of its tensors, each once: a module may stand in two places, as in a DeepCache denoiser."""
    return {name for name, _ in (*module.named_parameters(), *module.named_buffers())}


def _open(path: Path, device: str) -> tuple[nn.Module, dict[str, Spec]]:
    """Return the module of a program file and its inputs by name; a single one is called "".

    A network without weights beside it is made on `device`, where first weights cost least.
    """
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".pt2":
        program = torch.export.load(path)
        if program.example_inputs is None:
            raise ValueError(f"{path} holds no example input")
        args, kwargs = program.example_inputs
        examples = {"": args[0]} if args else kwargs
        return program.module(), {name: _spec(x) for name, x in examples.items()}
    recipe = json.loads(path.read_text())

    family = _family(recipe["family"], json.dumps(recipe["options"], sort_keys=True))
    weights = path.with_suffix(".safetensors")
    with torch.device("cpu" if weights.exists() else device):
        module = family.build(family.space.from_dict(recipe["subnet"]))
    module = elastic.packed(family.programs[recipe.get("program", "")].view(module))
    if weights.exists():
        found = module.load_state_dict(load_file(weights), strict=False)
        if found.unexpected_keys or {*found.missing_keys} & _once(module):
            raise ValueError(f"{path} has other weights than its network")
    return elastic.channels_last(module.eval()), recipe["inputs"]


@lru_cache(maxsize=4)
def _family(name: str, options: str) -> elastic.Family:
    """Return a family; that of a large network takes a second to make."""
    return get_family(name, **json.loads(options))
