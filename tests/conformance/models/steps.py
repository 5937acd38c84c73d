"""Several programs for one output: a state is prepared once, refined step by step, and read out once.

As in a diffusion pipeline, a step runs on two inputs where it is guided, and only now and then as a whole: in between
the result of the deep block is used again. Steps, guidance and reuse touch no weight and no program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import nn

from nas.elastic import Elastic, Fixed, Pass, Program
from nas.elastic import LengthChoices as Choices
from nas.elastic import Part as Block
from nas.elastic._family import Forward
from nas.space import Dimension, Subnet
from tests.conformance.models._small import SmallFamily, linear

WIDTH = 6


class Residual(nn.Module):
    """A feed-forward that adds to its input."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(WIDTH, inner), nn.Linear(inner, WIDTH)

    def forward(self, x_bc: torch.Tensor) -> torch.Tensor:
        return x_bc + self.narrow(torch.tanh(self.widen(x_bc)))


class Whole(nn.Module):
    """A step that computes everything: (state, deep result) in, both anew out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.near, self.deep = network.get_submodule("near"), network.get_submodule("deep")

    def forward(self, x_bc: torch.Tensor) -> torch.Tensor:
        state = self.near(x_bc[:, :WIDTH])
        deep = self.deep(state)
        return torch.cat([state + deep, deep], dim=1)


class Near(nn.Module):
    """A step that takes the deep result of an earlier one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.near = network.get_submodule("near")

    def forward(self, x_bc: torch.Tensor) -> torch.Tensor:
        state, deep = x_bc.split(WIDTH, 1)
        return torch.cat([self.near(state) + deep, deep], dim=1)


class Sampler(nn.Module):
    """The whole way to an output."""

    def __init__(self, modules: Mapping[str, nn.Module], compose: Callable[[Sampler], Forward]) -> None:
        super().__init__()
        self.start, self.near, self.deep, self.end = (modules[n] for n in ("start", "near", "deep", "end"))
        self._compose = compose

    def forward(self, x_bc: torch.Tensor) -> torch.Tensor:
        return self._compose(self)(x_bc)


class Steps(SmallFamily):
    """A feed-forward of elastic width, refined in 1, 2 or 4 steps."""

    input_shape = (3,)
    pass_dimensions = ("steps", "guided", "reuse")

    def __init__(self) -> None:
        dimensions = [
            Dimension("near", (4, 8)),
            Dimension("deep", (4, 8, 16)),
            Dimension("steps", (1, 2, 4)),
            Dimension("guided", (False, True)),
            Dimension("reuse", (2, 1)),
        ]
        parts = [
            Block("start", lambda choices: nn.Linear(3, 2 * WIDTH)),
            *(_residual(name) for name in ("near", "deep")),
            Block("end", lambda choices: nn.Linear(2 * WIDTH, 4)),
        ]
        super().__init__("small-steps", dimensions, parts)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        def compose(network: Sampler) -> Forward:
            return self.compose(
                {name: program.view(network) for name, program in self.programs.items()}, subnet
            )

        return Sampler(modules, compose)

    @cached_property
    def programs(self) -> Mapping[str, Program]:
        def state(subnet: Subnet, batch_size: int) -> torch.Tensor:
            return torch.linspace(-1, 1, batch_size * 2 * WIDTH).reshape(batch_size, -1)

        return {
            "start": Program(lambda network: network.get_submodule("start"), self.example_input, ()),
            "whole": Program(Whole, state, ("near", "deep")),
            "near": Program(Near, state, ("near",)),
            "end": Program(lambda network: network.get_submodule("end"), state, ()),
        }

    def passes(self, subnet: Subnet) -> list[Pass]:
        batch = 2 if subnet["guided"] else 1
        kinds = ["near" if step % int(subnet["reuse"]) else "whole" for step in range(int(subnet["steps"]))]
        return [Pass("start"), *(Pass(kind, 1, batch) for kind in kinds), Pass("end")]

    def compose(self, programs: Mapping[str, Forward], subnet: Subnet) -> Forward:
        def forward(x_bc: torch.Tensor) -> torch.Tensor:
            state = programs["start"](x_bc)
            for step in self.passes(subnet)[1:-1]:
                out = programs[step.program](torch.cat([state, -state]) if step.batch == 2 else state)
                first, *others = out.chunk(step.batch)
                state = first - 0.5 * others[0] if others else first
            return programs["end"](state)

        return forward


def _residual(name: str) -> Block:
    def build(choices: Choices) -> nn.Module:
        return Residual(int(choices[name]))

    inner = Elastic(name)
    widen, narrow = linear(inner, Fixed(WIDTH), "widen."), linear(Fixed(WIDTH), inner, "narrow.")
    return Block(name, build, widen | {"narrow.weight": narrow["narrow.weight"]})
