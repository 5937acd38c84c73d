"""Sorting channels by importance along coupled axes (once-for-all, Cai et al. 2020, sorts by the L1 norm)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from nas.elastic._family import Family
from nas.elastic._layout import Layout
from nas.space import SpaceError


def _tensors(family: Family, network: nn.Module) -> Iterator[tuple[torch.Tensor, Layout]]:
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    for name, layout in _layouts(family):
        yield tensors[name], layout


def _layouts(family: Family) -> Iterator[tuple[str, Layout]]:
    for part in family.parts:
        for name, layout in part.layouts.items():
            yield f"{part.name}.{name}", layout


def entry_scores(family: Family, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return, for each elastic axis by name, a score of each entry: how much `values` of the weights add up to.

    `values` has a number for each weight of the largest network, by the tensor's name, such as weight times gradient;
    tensors that it lacks do not count. Those of an entry are added up within a tensor, and their magnitudes over all
    tensors, so that what cancels inside one tensor does not count.
    """
    largest = family.space.largest()
    total: dict[str, torch.Tensor] = {}
    for key, layout in _layouts(family):
        if (value := values.get(key)) is None:
            continue
        for position, axis in enumerate(layout.axes):
            others = [other for other in range(value.ndim) if other != position]
            scores = (value.double().sum(others) if others else value.double()).abs()
            for name, score in axis.importance(scores, largest).items():
                total[name] = total[name] + score if name in total else score
    return total


def l1_importance(family: Family, network: nn.Module) -> dict[str, torch.Tensor]:
    """Return, for each elastic axis by name, the summed magnitude of the weights of each entry.

    Each weight tensor counts alike, however large it is; biases and norms, being single-axis, do not count.
    """
    largest = family.space.largest()
    total: dict[str, torch.Tensor] = {}
    for tensor, layout in _tensors(family, network):
        if tensor.ndim < 2 or not tensor.is_floating_point():
            continue
        magnitude = tensor.detach().abs().double()
        for position, axis in enumerate(layout.axes):
            others = [other for other in range(tensor.ndim) if other != position]
            scores = magnitude.sum(others)
            for name, score in axis.importance(scores / scores.mean().clamp_min(1e-12), largest).items():
                total[name] = total[name] + score if name in total else score
    return total


def _check_scores(family: Family, importance: Mapping[str, torch.Tensor]) -> None:
    """Raise `SpaceError` for scores of no elastic axis, or not one score an entry."""
    largest, known = family.space.largest(), {}
    for part in family.parts:
        for layout in part.layouts.values():
            for axis in layout.axes:
                found = axis.importance(torch.zeros(axis.length(largest)), largest)
                known |= {name: tuple(scores.shape) for name, scores in found.items()}
    for name, scores in importance.items():
        if name not in known:
            raise SpaceError(
                f"no elastic axis is called {name!r}; the axes are {', '.join(sorted(known)) or 'none'}"
            )
        if tuple(scores.shape) != known[name]:
            raise SpaceError(
                f"{name!r} has {known[name][0]} entries, but scores of shape {tuple(scores.shape)} were given; "
                "give one score for each entry"
            )


@torch.no_grad()
def sort_channels(family: Family, network: nn.Module, importance: Mapping[str, torch.Tensor] | str) -> None:
    """Permute every tensor of the largest `network` in place, most important entries of each elastic axis first."""
    if isinstance(importance, str):
        if importance != "l1":
            raise SpaceError(
                f"importance {importance!r} is not known; give 'l1' or scores by the axis's name"
            )
        importance = l1_importance(family, network)
    largest = family.space.largest()
    _check_scores(family, importance)
    orders = {n: torch.argsort(s.cpu(), descending=True, stable=True) for n, s in importance.items()}
    for tensor, layout in _tensors(family, network):
        for position, axis in enumerate(layout.axes):
            order = axis.permutation(orders, largest)
            if order.equal(torch.arange(len(order))):
                continue
            tensor.copy_(tensor.index_select(position, order.to(tensor.device)))
