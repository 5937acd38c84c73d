"""The family of a derived space: its subnets are the model's own modules, or the rewritten graph."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.derive.labels.trace import Network
from nas.derive.networks.costs import Costs
from nas.derive.networks.norms import Norm
from nas.derive.networks.program import BATCH, GraphNetwork, module_at
from nas.derive.networks.shells import built, register_once, shared, wired, without_ties
from nas.derive.networks.specification import RESOLUTION, Held, Specification
from nas.elastic import (
    Axis,
    Chosen,
    Elastic,
    Family,
    Inputs,
    Kernel,
    Layout,
    LengthChoices,
    Part,
    resize_images,
)
from nas.errors import UsageError
from nas.space import SearchSpace, Subnet


@dataclass(frozen=True)
class Template:
    """The largest network with parameters on the meta device, and which tensors are another one: tied weights."""

    network: Network
    same: Mapping[str, str]

    @classmethod
    def of(cls, model: nn.Module, output: str | int | None, inputs: Sequence[str]) -> Template:
        """Copy a model, of which `output` counts, and which is called with `inputs`."""
        network = Network(_on_meta(model), output, inputs)
        tensors = (
            *network.named_parameters(remove_duplicate=False),
            *network.named_buffers(remove_duplicate=False),
        )
        first: dict[int, str] = {}
        same = {name: first.setdefault(id(tensor), name) for name, tensor in tensors}
        same = {name: known for name, known in same.items() if _are_two(network, name, known)}
        without_ties(network, same)
        register_once(network)
        return cls(network.eval(), same)


class DerivedFamily(Family):
    """The subnets of any torch model. The network is `Network`; the model's tensors are under "model.".

    Every module that has tensors of its own, numbers that follow a length, or products, is a part, without the modules
    inside of it.

    Args:
        specification: what was found, as JSON or read.
        template: the model, or a `Template` of it; not changed, its weights are not used. None where subnets are made
            of the graph.
        options: what the entry point is called with beside the specification.
        task: of the family.
        name: of the entry point.
    """

    def __init__(
        self,
        specification: Specification | Mapping[str, Any],
        template: nn.Module | Template | None = None,
        *,
        options: Mapping[str, object] | None = None,
        task: str = "classification",
        name: str = "derived",
    ) -> None:
        if not isinstance(specification, Specification):
            specification = Specification.from_dict(specification)
        if template is None and specification.program is None:
            raise UsageError(
                f"the subnets of {specification.name} are made of the model's own modules, but no model is given; "
                "give it as the template"
            )
        self.specification, self.name, self.task = specification, name, task
        self.options = {**(options or {}), "specification": specification.to_dict()}
        self.space = SearchSpace(specification.name, specification.dimensions)
        self.input_dimensions = (RESOLUTION,) if RESOLUTION in self.space else ()
        self._template: Network | None = None
        self._same: Mapping[str, str] = {}
        if specification.program is None and template is not None:
            made = (
                template
                if isinstance(template, Template)
                else Template.of(template, specification.output, [each.name for each in specification.inputs])
            )
            self._template, self._same = made.network, made.same
        self._largest = {BATCH: 1, **self.space.largest()}

    @property
    def template(self) -> Network | None:
        """The largest network, its parameters on the meta device; None where subnets are made of the graph."""
        return self._template

    @property
    def parts(self) -> Sequence[Part]:
        return self._parts

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        spec = self.specification
        layouts: dict[str, dict[str, Layout]] = defaultdict(dict)
        for tensor, axes in spec.tensors.items():
            path, _, leaf = tensor.rpartition(".")
            kernel = spec.kernels.get(tensor)
            layouts[path][leaf] = Layout(axes, None if kernel is None else Kernel(Chosen(kernel)))
        numbers = {
            path: tuple(n for n in spec.numbers if n.path == path) for path in {n.path for n in spec.numbers}
        }
        return tuple(
            self._part(path, layouts[path], numbers.get(path, ())) for path in self._paths(layouts, numbers)
        )

    def _part(self, path: str, layouts: Mapping[str, Layout], numbers: tuple[Any, ...]) -> Part:
        block = next(
            (d for d, p in self.specification.blocks.items() if f"{path}.".startswith(f"{p}.")), None
        )
        reads = tuple(dict.fromkeys(name for number in numbers for name in number.axis.dimensions))
        if self._template is None:
            held = {
                name.rpartition(".")[2]: h
                for name, h in self.specification.held.items()
                if name.rpartition(".")[0] == path
            }
            build = partial(_holder, held, layouts, self.specification.norms.get(path))
        else:
            build = partial(built, self._template.get_submodule(path), layouts, numbers, self._largest)
        return Part(path, build, layouts, None if block is None else (block, (True,)), reads)

    def _paths(self, layouts: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[str]:
        """Return the paths of parts, in the order of the model's modules."""
        wanted = {*layouts, *numbers, *(cost.path for cost in self.specification.costs)}
        if self._template is None:
            wanted |= {name.rpartition(".")[0] for name in self.specification.held}
            return sorted(wanted - {""})
        own = {
            path
            for path, module in self._template.named_modules()
            if any(t is not None for t in (*module._parameters.values(), *module._buffers.values()))
        }
        return [path for path, _ in self._template.named_modules() if path in wanted | own and path]

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        spec = self.specification
        left_out = frozenset(path for name, path in spec.blocks.items() if not subnet[name])
        if self._template is not None:
            return wired(self._template, modules, left_out, self._same)
        assert spec.program is not None
        network = GraphNetwork(spec.program, dict(subnet), self._largest)
        for path, module in modules.items():
            *lead, leaf = path.split(".")
            has_parts_inside = any(other.startswith(f"{path}.") for other in modules)
            module_at(network, lead).add_module(leaf, shared(module) if has_parts_inside else module)
        return network

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> Inputs:
        generator = torch.Generator().manual_seed(0)
        lead = [batch_size] if self.specification.batched else []
        found: dict[str, Tensor] = {}
        for each in self.specification.inputs:
            if each is self.specification.picture:
                each = replace(each, shape=(*each.shape[:-2], *self._size(subnet)))
            found[each.name] = each.example(lead, generator)
        return next(iter(found.values())) if len(found) == 1 else found

    def _size(self, subnet: Subnet) -> tuple[int, int]:
        """Return the height and width of a subnet's picture."""
        assert self.specification.picture is not None
        height, width = self.specification.picture.shape[-2:]
        size = subnet.get(RESOLUTION)
        return (height, width) if size is None else (int(size), int(size))

    def prepare(self, x: Inputs, subnet: Subnet) -> Inputs:
        if (picture := self.specification.picture) is None:
            return x
        size = self._size(subnet)
        if isinstance(x, Tensor):
            return resize_images(x, size)
        return {**x, picture.name: resize_images(x[picture.name], size)}

    @property
    def native(self) -> Subnet:
        largest, picture = self.space.largest(), self.specification.picture
        if RESOLUTION not in self.space or picture is None:
            return largest
        nearest = min(self.space[RESOLUTION].choices, key=lambda size: abs(int(size) - picture.shape[-1]))
        return self.space.subnet({**largest, RESOLUTION: nearest})

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self.specification, self.space, [part.name for part in self.parts], self._sizes())

    def _sizes(self) -> dict[str, tuple[tuple[Axis | int, ...], bool]]:
        """Return the axes of every float tensor that is stored, and whether it is a parameter."""
        if self._template is None:
            held = self.specification.held
        else:
            parameters = dict(self._template.named_parameters())
            paths = dict(
                self._template.named_modules()
            )  # a module that is in two others has the first path alone
            held = {
                name: Held(tuple(t.shape), str(t.dtype).removeprefix("torch."), name in parameters)
                for name, t in self._template.state_dict().items()
                if name.rpartition(".")[0] in paths
            }
        return {
            name: (self._axes_of(name, h), h.is_parameter)
            for name, h in held.items()
            if getattr(torch, h.dtype).is_floating_point
        }

    def _axes_of(self, name: str, held: Held) -> tuple[Axis | int, ...]:
        axes = self.specification.tensors.get(name, held.shape)
        if (kernel := self.specification.kernels.get(name)) is None:
            return axes
        return (*axes[:2], *[Elastic(kernel)] * (len(axes) - 2))

    def part_costs(self, codes: np.ndarray) -> np.ndarray:
        return self._costs(self, codes)


def _are_two(network: nn.Module, name: str, other: str) -> bool:
    """Whether two names of one tensor are of two modules: a module that is used twice has one."""
    first, second = (network.get_submodule(each.rpartition(".")[0]) for each in (name, other))
    return first is not second or name.rpartition(".")[2] != other.rpartition(".")[2]


def _on_meta(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose parameters have no values."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), parameter.requires_grad
        )
    return copy.deepcopy(model, memo)


def _holder(
    held: Mapping[str, Held], layouts: Mapping[str, Layout], norm: Norm | None, choices: LengthChoices
) -> nn.Module:
    """Return a module that holds tensors of a network that is made of its graph, or one of its BatchNorm layers."""
    if norm is not None:
        axes = layouts["weight"].axes if "weight" in layouts else ()
        return norm.layer(axes[0].length(choices) if axes else held["weight"].shape[0])
    module = nn.Module()
    for name, each in held.items():
        shape = layouts[name].shape(choices) if name in layouts else each.shape
        dtype = getattr(torch, each.dtype)
        if each.is_parameter:
            parameter = nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=dtype.is_floating_point)
            nn.init.normal_(parameter, std=shape[-1] ** -0.5 if shape else 1.0)
            module.register_parameter(name, parameter)
        else:
            module.register_buffer(name, torch.zeros(shape, dtype=dtype))
    return module
