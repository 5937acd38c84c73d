"""Whole numbers of modules that are lengths: which attribute of which module follows which axis.

Layers of torch say it by their type. For any other module the model is run once with numbers that know which attribute
they come from, and every operation notes in which of its sizes such a number arrives; the labels of the same operation
in the graph tell the axis.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import name_of, path_of
from nas.derive.networks.program import BATCH, PIECES
from nas.derive.networks.record import AxisOf
from nas.derive.networks.specification import Number
from nas.elastic import Axis, Fixed

_TORCH = (nn.Linear, _ConvNd, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.Embedding)
"""Layers whose numbers are read off their tensors."""
_OF_TORCH = frozenset({
    "in_features", "out_features", "in_channels", "out_channels", "num_features", "num_channels",
    "normalized_shape", "num_embeddings", "embedding_dim", "groups", "num_groups", "kernel_size", "stride",
    "padding", "dilation", "output_padding", "padding_idx",
})  # fmt: skip
_SIZES = frozenset({
    "view", "reshape", "expand", "repeat", "zeros", "ones", "full", "empty", "new_zeros", "new_ones",
    "new_full", "new_empty",
})  # fmt: skip

Place = tuple[str, str, int | None]
"""A module's path, an attribute, and the entry of it where it is a tuple."""


def numbers_of_layers(labels: Labels, axis_of: AxisOf, network: nn.Module) -> list[Number]:
    """Return the numbers of groups of torch's own layers; their other numbers are read off their tensors."""
    found: dict[tuple[str, str], Number] = {}
    modules = dict(network.named_modules())
    for node, table in labels.groups.items():
        layer, table = modules.get(path_of(node)), labels.conditions.resolve(table)
        if table is None or not isinstance(layer, _ConvNd | nn.GroupNorm):
            continue
        attribute = "num_groups" if isinstance(layer, nn.GroupNorm) else "groups"
        found[path_of(node), attribute] = Number(path_of(node), attribute, None, axis_of(table, len(table)))
    return [*found.values()]


class _Tagged(int):
    """A whole number that knows the attribute that it is of; it is noted when it is compared or computed with."""

    place: Place
    touched: set[Place]

    def __new__(cls, value: int, place: Place, touched: set[Place]) -> _Tagged:
        tagged = super().__new__(cls, value)
        tagged.place, tagged.touched = place, touched
        return tagged

    def __hash__(self) -> int:
        return hash(int(self))

    def __deepcopy__(self, memo: object) -> int:
        return int(self)


def _noting(name: str) -> Callable[..., Any]:
    plain = getattr(int, name)

    def operation(self: _Tagged, *others: Any) -> Any:
        self.touched.add(self.place)
        return plain(self, *others)

    return operation


_NOTED = (
    "mul", "rmul", "floordiv", "rfloordiv", "add", "radd", "sub", "rsub", "truediv", "rtruediv", "pow", "mod",
    "eq", "ne", "lt", "le", "gt", "ge",
)  # fmt: skip
for _name in _NOTED:
    setattr(_Tagged, f"__{_name}__", _noting(f"__{_name}__"))


@dataclass(frozen=True)
class _Use:
    """A number that arrived in an operation: which one of its kind in the module, and in which size."""

    place: Place
    path: str
    operation: str
    shape: tuple[int, ...]
    occurrence: int
    axis: int
    piece: int | None


class _Watch(TorchFunctionMode):
    """Notes where tagged numbers arrive; `path` is that of the module that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = [""]
        self.uses: list[_Use] = []
        self.calls: Counter[tuple[str, str, tuple[int, ...]]] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        first = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(first, Tensor):
            key = (self.paths[-1], _kind(func.__name__), tuple(first.shape))
            for place, axis, piece in _arrivals(func.__name__, args, kwargs, first.ndim):
                self.uses.append(_Use(place, *key, self.calls[key], axis, piece))
            self.calls[key] += 1
        return result


def _kind(name: str) -> str:
    """Return one name for operations that the exporter renames."""
    name = name.strip("_")
    return "split" if name in PIECES else {"broadcast_to": "expand", "getitem": "slice"}.get(name, name)


def _arrivals(name: str, args: Any, kwargs: Any, rank: int) -> Iterator[tuple[Place, int, int | None]]:
    """Yield (attribute, axis of the result, piece) of tagged numbers in the sizes of a call; axis -1 are groups."""
    sizes = [each for arg in args for each in (arg if isinstance(arg, tuple | list) else [arg])]
    kind = _kind(name)
    if name in _SIZES:
        sizes = [
            each
            for each in [*sizes, *(kwargs.get("size") or kwargs.get("shape") or ())]
            if not isinstance(each, Tensor)
        ]
        for axis, size in enumerate(sizes[:rank]):
            if isinstance(size, _Tagged):
                yield size.place, axis, None
    elif kind == "unflatten":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        for axis, size in enumerate(args[2] if len(args) > 2 else kwargs.get("sizes", ())):
            if isinstance(size, _Tagged):
                yield size.place, dim + axis, None
    elif kind == "split" and name != "chunk":
        dim = kwargs.get("dim", args[2] if len(args) > 2 else 0)
        wanted = args[1] if len(args) > 1 else next(iter(kwargs.values()))
        for piece, size in enumerate(wanted if isinstance(wanted, tuple | list) else [wanted]):
            if isinstance(size, _Tagged):
                yield size.place, dim % rank, piece
    elif kind == "layer_norm" and len(args) > 1:
        for axis, size in enumerate(args[1]):
            if isinstance(size, _Tagged):
                yield size.place, rank - len(args[1]) + axis, None
    elif kind.startswith(("conv", "group_norm", "channel_shuffle")):
        for size in (*sizes, *kwargs.values()):
            if isinstance(size, _Tagged):
                yield size.place, -1, None


def candidates(labels: Labels, axis_of: AxisOf, network: nn.Module) -> dict[Place, list[Axis]]:
    """Return for each number that may be a length the axes that it may be the length of, likeliest first.

    A number that arrives in no size may still be one, of code that adds it to other sizes, or compares it: of such a
    number the axes are candidates that have its length in operations of its module.
    """
    touched: set[Place] = set()
    twin = copy.deepcopy(network)
    values = dict(_tag(twin, touched))
    watch = _Watch()
    try:
        _run(twin, watch, labels.trace.examples)
    except Exception:  # code that takes no subclass of int; layers of torch are told all the same
        return {}
    nodes: dict[tuple[str, str, tuple[int, ...]], list[fx.Node]] = defaultdict(list)
    for node in labels.trace.graph.nodes:
        if node.op == "call_function" and (shapes := labels.shapes(node)):
            nodes[path_of(node), _kind(name_of(node)), tuple(shapes[0])].append(node)
    found: dict[Place, list[Axis]] = defaultdict(list)
    for use in watch.uses:
        alike = nodes[use.path, use.operation, use.shape]
        if len(alike) == watch.calls[use.path, use.operation, use.shape]:
            alike = alike[use.occurrence : use.occurrence + 1]
        for node in alike:
            axis = _axis(labels, axis_of, node, use)
            if axis is not None and BATCH not in axis.dimensions and axis not in found[use.place]:
                found[use.place].append(axis)
    for place in values.keys() - found.keys():
        if axes := _by_value(labels, axis_of, place[0], values[place]):
            found[place] = axes if place in touched else [*axes, Fixed(values[place])]
    return {place: axes for place, axes in found.items() if any(axis.dimensions for axis in axes)}


def _axis(labels: Labels, axis_of: AxisOf, node: fx.Node, use: _Use) -> Axis | None:
    if use.axis < 0:
        table = labels.conditions.resolve(labels.groups.get(node))
        return None if table is None else axis_of(table, len(table))
    if use.piece is not None:
        pieces, shapes = labels.values[node], labels.shapes(node) or []
        return axis_of(pieces[use.piece][use.axis], shapes[use.piece][use.axis])
    table, size = labels.axes(node)[use.axis]
    return axis_of(table, size)


def _by_value(labels: Labels, axis_of: AxisOf, path: str, value: int) -> list[Axis]:
    """Return the elastic axes of that full length in operations that the module itself ran."""
    found: list[Axis] = []
    for node in labels.trace.graph.nodes:
        if node.op != "call_function" or path_of(node) != path:
            continue
        for each in (node, *node.all_input_nodes):
            if isinstance(each.meta.get("val"), Tensor):
                for table, size in labels.axes(each):
                    axis = axis_of(table, size) if size == value else None
                    if (
                        axis is not None
                        and axis.dimensions
                        and BATCH not in axis.dimensions
                        and axis not in found
                    ):
                        found.append(axis)
    return found


def _tag(network: nn.Module, touched: set[Place]) -> Iterator[tuple[Place, int]]:
    """Replace the whole numbers of modules by tagged ones; yield each with its value."""
    for path, module in network.named_modules():
        for name, value in [*vars(module).items()]:
            if name.startswith("_") or (isinstance(module, _TORCH) and name in _OF_TORCH):
                continue
            if _is_whole(value):
                place = (path, name, None)
                vars(module)[name] = _Tagged(value, place, touched)
                yield place, value
            elif type(value) in (tuple, list) and value and all(map(_is_whole, value)):
                places = [(path, name, i) for i in range(len(value))]
                tagged = [_Tagged(v, p, touched) for v, p in zip(value, places, strict=True)]
                vars(module)[name] = type(value)(tagged)
                yield from zip(places, value, strict=True)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


@torch.no_grad()
def _run(network: nn.Module, watch: _Watch, inputs: Sequence[Tensor]) -> None:
    for path, module in network.named_modules():
        module.register_forward_pre_hook(lambda *_, path=path: watch.paths.append(path))
        module.register_forward_hook(lambda *_: watch.paths.pop() and None)
    with watch:
        network(*inputs)


def chosen(axes: Mapping[Place, Axis]) -> tuple[Number, ...]:
    """Return numbers for what follows an axis that is not fixed."""
    return tuple(Number(*place, axis) for place, axis in axes.items() if axis.dimensions)
