"""BatchNorm layers of networks that are made of a graph: modules of torch, so that they train and are calibrated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from nas.derive.networks.program import Program, Step

_TENSORS = ("weight", "bias", "running_mean", "running_var")
_KINDS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@dataclass(frozen=True)
class Norm:
    """A BatchNorm layer: the rank of its input, ε, and how fast its statistics follow those of batches."""

    rank: int
    eps: float
    momentum: float

    def layer(self, channels: int) -> nn.Module:
        """Return the layer of torch."""
        return _KINDS[self.rank](channels, self.eps, self.momentum)


def with_norms(program: Program, ranks: Mapping[str, int]) -> tuple[Program, dict[str, Norm]]:
    """Return a program that calls BatchNorm layers by their paths, with the layers.

    Args:
        program: a graph in evaluation mode.
        ranks: of each step's result.
    """
    tensors = {step.name: step.args[0] for step in program.steps if step.target == "tensor"}
    paths = {step.name: path for step in program.steps if (path := _path(step, tensors))}
    once = {path for path, count in Counter(paths.values()).items() if count == 1}
    norms, steps = {}, []
    for step in program.steps:
        path = paths.get(step.name)
        if path in once:
            *_, momentum, eps, _ = step.args
            norms[path] = Norm(ranks[step.name], eps, momentum)
            step = replace(step, target="module", args=(path, step.args[0]))
        steps.append(step)
    return replace(program, steps=tuple(steps)), norms


def _path(step: Step, tensors: Mapping[str, str]) -> str:
    """Return the path of the layer whose four tensors a step normalises with; "" where there is none."""
    if step.target != "aten.batch_norm.default" or step.args[5]:
        return ""
    names = [tensors.get(each["step"], "") if each else "" for each in step.args[1:5]]
    paths = {name.rpartition(".")[0] for name in names}
    leaves = tuple(name.rpartition(".")[2] for name in names)
    return min(paths) if len(paths) == 1 and leaves == _TENSORS else ""
