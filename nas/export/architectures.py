"""A subnet as a readable table: one row a group of parts, whatever the family.

Parts that stand in one container (the blocks of a stage) share a row; their choices and inner widths are listed in
order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas.elastic import Axis, Cat, Elastic, Family, Indices, Part, Repeat, Supernet, call, map_inputs
from nas.latency.units import format_count
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn

# An output of fewer multiply-accumulates is computed for its shapes. The meta device computes nothing, but takes most
# operators through Python, and loading what it needs for that takes half a second.
_SMALL_MACS = 10**10


@dataclass
class Group:
    """Parts of one container: how many, their choices and inner widths by short name, output shape and cost."""

    name: str
    blocks: int = 0
    choices: dict[str, list[Any]] = field(default_factory=dict)
    widths: dict[str, list[int]] = field(default_factory=dict)
    output: tuple[int, ...] = ()
    macs: int = 0
    params: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**vars(self), "output": [*self.output]}


@dataclass(frozen=True)
class Architecture:
    """The groups of a subnet, and the choices that belong to no part (resolution, steps, bits)."""

    groups: tuple[Group, ...]
    general: dict[str, Any]

    def rows(self) -> list[dict[str, str]]:
        """Return the table: column to text, every row with every column that any row fills."""
        rows = [_row(group) for group in self.groups]
        columns = [*dict.fromkeys(column for row in rows for column in row)]
        last = ["output", "MACs", "params"]
        columns = [column for column in columns if column not in last] + last
        return [{column: row.get(column, "") for column in columns} for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"general": self.general, "parts": [group.to_dict() for group in self.groups]}


def _row(group: Group) -> dict[str, str]:
    return {
        "part": group.name,
        "blocks": str(group.blocks),
        **{name: " ".join(map(str, values)) for name, values in (group.choices | group.widths).items()},
        "output": " × ".join(map(str, group.output)),
        "MACs": format_count(group.macs),
        "params": format_count(group.params),
    }


def architecture(supernet: Supernet, subnet: Subnet) -> Architecture:
    """Describe `subnet` part by part; the supernet may be without weights."""
    family = supernet.family
    active = [part for part in family.parts if part.is_active(subnet)]
    counts = supernet.count_parts(subnet)
    is_small = sum(each.macs for each in counts.values()) < _SMALL_MACS
    with supernet.bound(subnet) if is_small else nullcontext(supernet.skeleton(subnet)) as network:
        outputs = _outputs(network, family, subnet, active)
    names = {part.name: part.group or part.name.rpartition(".")[0] or part.name for part in active}
    groups: dict[str, Group] = {}
    told: set[str] = set()
    for part in active:
        name = names[part.name]
        others = {*names.values()} - {name}  # what has another row's name is told there
        group = groups.setdefault(name, Group(name))
        group.blocks += 1
        group.output = outputs.get(part.name, ())
        group.macs += counts[part.name].macs
        group.params += counts[part.name].params
        for dimension in part.dimensions:
            told.add(dimension)
            if dimension.partition(".")[0] not in others:
                group.choices.setdefault(_short(dimension), []).append(subnet[dimension])
        for axis, length in _widths(part, subnet).items():
            if axis.partition(".")[0] not in others:
                group.widths.setdefault(_short(axis), []).append(length)
    depths = {part.active_if[0] for part in family.parts if part.active_if is not None}
    general = {name: choice for name, choice in subnet.items() if name not in told and name not in depths}
    return Architecture(tuple(groups.values()), general)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _outputs(
    network: nn.Module, family: Family, subnet: Subnet, parts: list[Part]
) -> dict[str, tuple[int, ...]]:
    """Return each part's output shape without the batch, from a run of the static network."""
    import torch

    device, shapes, handles = next(network.parameters()).device, {}, []
    for part in parts:

        def keep(_module: nn.Module, _inputs: object, output: object, name: str = part.name) -> None:
            if isinstance(output, torch.Tensor):
                shapes[name] = tuple(output.shape[1:])

        handles.append(network.get_submodule(part.name).register_forward_hook(keep))
    try:
        with torch.no_grad():
            for program in family.programs.values():
                example = map_inputs(lambda x: x.to(device), program.example(subnet, 1))
                call(program.view(network).eval(), example)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _widths(part: Part, subnet: Subnet) -> dict[str, int]:
    """Return the lengths of the part's elastic axes that are no dimension themselves."""
    axes = [axis for layout in part.layouts.values() for whole in layout.axes for axis in _elastic(whole)]
    return {name: axis.length(subnet) for name, axis in axes if name not in subnet}


def _elastic(axis: Axis) -> Iterator[tuple[str, Axis]]:
    if isinstance(axis, Elastic):
        yield axis.name, axis
    inner = (
        axis.parts
        if isinstance(axis, Cat)
        else (axis.outer, axis.inner)
        if isinstance(axis, Repeat)
        else (axis.of,)
        if isinstance(axis, Indices)
        else ()
    )
    for part in inner:
        if not isinstance(part, int):
            yield from _elastic(part)


def weightless(family: Family) -> Supernet:
    """Return the supernet of a family on the meta device: it counts and describes, but holds no weights."""
    import torch

    with torch.device("meta"):
        return Supernet(family)
