"""Networks of another library: the stock network, its parameters on the meta device, is the template of every subnet.

`resized` makes one of its blocks at a subnet's size, `assembled` puts such blocks into copies of its containers; so a
subnet runs the library's own code, and its tensors have the library's own names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from nas.elastic._layout import Layout
from nas.elastic._length import Choices
from nas.elastic._skeleton import owner_of


def resized(template: nn.Module, layouts: Mapping[str, Layout], choices: Choices) -> nn.Module:
    """Return a new module like `template` whose tensors are as long as `layouts` say, on the default device.

    Parameters are initialised as their layers do it; one that belongs to no such layer is drawn from a normal
    distribution with the standard deviation 1 / √(last size). Buffers keep the template's values. Layers of torch are
    told their sizes; what else follows from a length, such as a number of heads or of norm groups, is for the caller.
    """
    module = copy.deepcopy(template)
    for name, layout in layouts.items():
        slot, leaf = owner_of(module, name)
        slot[leaf] = nn.Parameter(torch.empty(layout.shape(choices), device="meta"), slot[leaf].requires_grad)
    device = torch.get_default_device()
    for layer in module.modules():
        tell_sizes(layer)
        _materialise(layer, device)
    return module


def tell_sizes(layer: nn.Module) -> None:
    """Have the numbers of a layer of torch be the sizes of its weight; groups stay as they are."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, _ConvNd) and layer.groups == 1 and not layer.transposed:
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
    elif isinstance(layer, nn.GroupNorm) and layer.affine:
        layer.num_channels = len(layer.weight)
    elif isinstance(layer, nn.LayerNorm) and layer.elementwise_affine:
        layer.normalized_shape = tuple(layer.weight.shape)


@torch.no_grad()
def _materialise(layer: nn.Module, device: torch.device) -> None:
    """Give the tensors of a layer of its own a place on `device`, and the parameters first values."""
    for name, parameter in layer._parameters.items():
        if parameter is not None:
            layer._parameters[name] = nn.Parameter(
                torch.empty_like(parameter, device=device), parameter.requires_grad
            )
    for name, buffer in layer._buffers.items():
        if buffer is not None:
            if buffer.is_meta and device.type != "meta":
                raise ValueError(f"the template's buffer {name!r} has no values; build it with its buffers")
            layer._buffers[name] = buffer.to(device, copy=True)
    if device.type == "meta":
        return
    reset = getattr(layer, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    for parameter in layer._parameters.values():
        if parameter is not None:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)


def assembled(
    template: nn.Module, parts: Mapping[str, nn.Module], left_out: Mapping[str, nn.Module | None]
) -> nn.Module:
    """Return a copy of the containers of `template` that holds `parts` at their paths.

    `left_out` maps the paths of modules that the network lacks to what stands there instead. Where that is None, a
    module of a list is missing from it, while the others keep their names, and an attribute is None. Raises
    `ValueError` where the template has tensors that belong to no part.
    """
    return _twin(template, "", parts, left_out)


def _twin(
    module: nn.Module, path: str, parts: Mapping[str, nn.Module], left_out: Mapping[str, nn.Module | None]
) -> nn.Module:
    own = [
        name for name, tensor in (*module._parameters.items(), *module._buffers.items()) if tensor is not None
    ]
    if own:
        raise ValueError(f"{path}{own[0]} belongs to no part; make one of its module")
    twin = type(module).__new__(type(module))
    twin.__dict__ = {key: _own(value) for key, value in vars(module).items()}
    twin._modules = {}
    for name, child in module._modules.items():
        place = f"{path}{name}"
        if place in parts:
            twin._modules[name] = parts[place]
        elif place in left_out:
            if left_out[place] is not None or not isinstance(
                module, nn.ModuleList | nn.ModuleDict | nn.Sequential
            ):
                twin._modules[name] = left_out[place]
        else:
            twin._modules[name] = None if child is None else _twin(child, f"{place}.", parts, left_out)
    return twin


def _own(value: object) -> object:
    """Return a copy of a module's dictionaries (tensors, hooks), so that twins can change independently."""
    return copy.copy(value) if isinstance(value, dict | set) else value
