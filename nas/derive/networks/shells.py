"""Modules of a model one by one, without those inside of them: each is built at a subnet's size, then wired anew.

A subnet runs the model's own classes. What a module is at another size is its tensors, the numbers that layers of torch
hold of them, and the numbers that tracing found for it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from nas.derive.networks.specification import Number
from nas.elastic import Layout, LengthChoices, tell_sizes


class Skip(nn.Module):
    """What stands where a residual block was left out: its first input."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first input."""
        return args[0] if args else next(iter(kwargs.values()))


def bare(module: nn.Module) -> nn.Module:
    """Return a copy of a module that shares its tensors and has no modules inside."""
    twin = type(module).__new__(type(module))
    twin.__dict__ = {
        key: copy.copy(value) if isinstance(value, dict | set) else value
        for key, value in vars(module).items()
    }
    twin._modules = {}
    return twin


def built(
    template: nn.Module,
    layouts: Mapping[str, Layout],
    numbers: tuple[Number, ...],
    largest: LengthChoices,
    choices: LengthChoices,
) -> nn.Module:
    """Return a module like `template`, without those inside, at a subnet's size, on the default device.

    Parameters are initialised as their layers do it, or drawn from a normal distribution; buffers keep the entries of
    the template's.
    """
    module, device = bare(template), torch.get_default_device()
    for name, parameter in module._parameters.items():
        if parameter is not None:
            lengths = layouts[name].shape(choices) if name in layouts else parameter.shape
            empty = torch.empty(lengths, device=device, dtype=parameter.dtype)
            module._parameters[name] = nn.Parameter(empty, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = _cut(buffer, layouts.get(name), largest, choices).to(device, copy=True)
    for number in numbers:
        _set(module, number, number.axis.length(choices))
    has_weight = "weight" in module._parameters  # a tied one is another module's
    if has_weight:
        _tell(module)
        if "weight" in layouts and layouts["weight"].kernel is not None:
            _crop(module)
    if device.type != "meta":
        _initialise(module, has_weight and not template._modules)
    return module


def _cut(buffer: Tensor, layout: Layout | None, largest: LengthChoices, choices: LengthChoices) -> Tensor:
    for place, segments in layout.cuts(choices, largest) if layout else ():
        buffer = torch.cat([buffer.narrow(place, start, stop - start) for start, stop in segments], place)
    return buffer


def _set(module: nn.Module, number: Number, length: int) -> None:
    if number.place is None:
        setattr(module, number.attribute, length)
        return
    whole = getattr(module, number.attribute)
    setattr(
        module, number.attribute, type(whole)(length if i == number.place else n for i, n in enumerate(whole))
    )


def _tell(layer: nn.Module) -> None:
    """Have the numbers of a layer of torch be those of its tensors."""
    tell_sizes(layer)
    if isinstance(layer, _ConvNd):
        first, second = layer.weight.shape[:2]
        rest = second * layer.groups
        layer.in_channels, layer.out_channels = (first, rest) if layer.transposed else (rest, first)
    elif isinstance(layer, _NormBase):
        tensor = layer.weight if layer.weight is not None else layer.running_mean
        layer.num_features = layer.num_features if tensor is None else len(tensor)
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = layer.weight.shape


def _crop(layer: nn.Module) -> None:
    """Have a convolution whose kernel is smaller pad as much less; a padding found at run time follows by itself."""
    if not isinstance(layer, _ConvNd):
        return
    size = tuple(layer.weight.shape[2:])
    less = [d * (old - new) // 2 for d, old, new in zip(layer.dilation, layer.kernel_size, size, strict=True)]
    layer.kernel_size = size
    if not isinstance(layer.padding, str):
        layer.padding = tuple(max(0, width - own) for width, own in zip(layer.padding, less, strict=True))


@torch.no_grad()
def _initialise(module: nn.Module, is_layer: bool) -> None:
    reset = getattr(module, "reset_parameters", None)
    if reset is not None and is_layer:
        reset()
        return
    for parameter in module._parameters.values():
        if parameter is not None:
            parameter.normal_(std=parameter.shape[-1] ** -0.5 if parameter.ndim else 1.0)


def wired(
    template: nn.Module,
    shells: Mapping[str, nn.Module],
    left_out: frozenset[str],
    same: Mapping[str, str],
) -> nn.Module:
    """Return a network like `template` whose modules at the paths of `shells` are those.

    Args:
        template: the largest network.
        shells: by path; one without modules inside is put in as it is.
        left_out: paths of blocks that a `Skip` stands in for.
        same: names of tensors that are another one, with the name of that: tied weights.
    """
    twins: dict[int, nn.Module] = {}

    def twin(module: nn.Module, path: str) -> nn.Module:
        if path in left_out:
            return Skip()
        if id(module) not in twins:
            ties = {n.rpartition(".")[2] for n in same if n.rpartition(".")[0] == path}
            made = shells.get(path)
            if made is None or module._modules or ties:
                made = shared(shells[path]) if path in shells else bare(module)
            twins[id(module)] = made
            if ties:
                made.__class__ = tying_class(type(made), tuple(sorted(ties)))
            if module._modules:
                prefix = f"{path}." if path else ""
                made._modules = {n: m and twin(m, prefix + n) for n, m in module._modules.items()}
        return twins[id(module)]

    network = twin(template, "")
    for module in twins.values():
        _bind_methods(module, twins)
    for name, first in same.items():
        if not any(f"{name}.".startswith(f"{path}.") for path in left_out):
            path, _, leaf = name.rpartition(".")
            owner, _, own = first.rpartition(".")
            owners = network.get_submodule(path).__dict__.setdefault("_tied_to", {})
            owners[leaf] = (network.get_submodule(owner), own)
    return network


def shared(shell: nn.Module) -> nn.Module:
    """Return a copy of a shell with the shell's own dictionaries of tensors: what is bound there is bound here."""
    twin = bare(shell)
    twin._parameters, twin._buffers = shell._parameters, shell._buffers
    return twin


def _bind_methods(module: nn.Module, twins: Mapping[int, nn.Module]) -> None:
    """Have methods and modules that a module keeps as attributes be those of the twin."""
    for key, value in vars(module).items():
        if isinstance(value, MethodType) and id(value.__self__) in twins:
            vars(module)[key] = MethodType(value.__func__, twins[id(value.__self__)])
        elif id(value) in twins:
            vars(module)[key] = twins[id(value)]


@cache
def tying_class(kind: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    """Return a subclass of a module's class whose tensors of these names are another module's; it has its name."""

    def reader(name: str) -> Callable[[nn.Module], Any]:
        def read(module: nn.Module) -> Any:
            owner, own = vars(module)["_tied_to"][name]
            return getattr(owner, own)

        return read

    properties = {name: property(reader(name)) for name in names}
    return type(kind.__name__, (kind,), {**properties, "__module__": kind.__module__})


def without_ties(network: nn.Module, same: Mapping[str, str]) -> None:
    """Remove tensors that are another one from a template; `wired` gives modules that read that one instead."""
    for name, first in same.items():
        if name != first:
            path, _, leaf = name.rpartition(".")
            module = network.get_submodule(path)
            module._parameters.pop(leaf, None)
            module._buffers.pop(leaf, None)


def register_once(network: nn.Module, seen: set[int] | None = None) -> None:
    """Have a module that several others have be a mere attribute of all but the first, so that it is stored once."""
    seen = set() if seen is None else seen
    for name, child in [*network._modules.items()]:
        if child is not None and id(child) not in seen:
            seen.add(id(child))
            register_once(child, seen)
        elif child is not None and not isinstance(network, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            vars(network)[name] = network._modules.pop(name)
