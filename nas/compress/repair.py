"""Repairing a subnet in closed form: layers that read a pruned axis are fitted to what the full network computes.

Leaving out entries of an axis leaves an error in the output of the layer that reads them. The rest of its inputs can
make up for most of it: its weights are found by ridge regression of the full network's output on the inputs that are
left, layer after layer, each on what the layers repaired before it give. No labels and no gradients are needed. Source:
channel pruning by layer-wise reconstruction (He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep
Neural Networks"); here entries were chosen before, by importance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nas.elastic import Inputs, Layout, Supernet, call, channels_last
from nas.models import Model
from nas.space import Subnet

MOST_FEATURES = 3000
"""Layers with more inputs (channels × kernel) stay as they are: the time of a fit grows with the third power."""
_ROWS = 4  # equations for each unknown, at most
_RIDGE = 0.1  # of the mean square of the inputs: a few inputs may not buy a fit with large weights

_EXAMPLES = 128
REPAIRED = "repaired"
"""The entry of a model's `info` that has its subnets repaired."""

Layer = nn.Linear | nn.Conv2d


def extracted(model: Model, subnet: Subnet, calibration: Tensor | None = None) -> nn.Module:
    """Return the static network of a subnet as it is used, with recomputed statistics and, where due, repaired layers.

    Layers are repaired in networks that were adopted, of which the largest alone was trained; a model's `info` says so.

    Args:
        model: Whose subnet.
        subnet: Which one.
        calibration: uint8 images for both; None for the model's own.
    """
    network = channels_last(model.supernet.extract(subnet))
    if model.info.get(REPAIRED) and subnet != model.space.largest():
        inputs, _ = model.task.inputs(model, model.space.largest(), _EXAMPLES, calibration)
        repair_layers(model.supernet, subnet, network, model.family.prepare(inputs, subnet))
    model.recalibrate(network, subnet, calibration)
    return network


@torch.no_grad()
def repair_layers(
    supernet: Supernet,
    subnet: Subnet,
    network: nn.Module,
    inputs: Inputs,
    *,
    ridge: float = _RIDGE,
) -> dict[str, float]:
    """Fit the layers of a subnet that read a pruned axis to the full network's outputs there, in place.

    BatchNorm works with the statistics of the inputs meanwhile, in both networks: recalibrate the subnet afterwards.

    Args:
        supernet: The full network.
        subnet: What was extracted.
        network: Its static module, in evaluation mode; its weights are changed.
        inputs: As the subnet takes them; the full network runs on the same. One batch of a few dozen.
        ridge: How much a layer is held to the weights it has, as a share of the mean square of its inputs.

    Returns:
        By the name of each layer that was repaired the error of its output that is left, as a share of that before.
    """
    full = supernet.extract(supernet.space.largest())
    own = dict(network.named_modules())
    readers = {name: layer for name, layer in full.named_modules() if _reads_less(own.get(name), layer)}
    if not readers:
        return {}
    layouts = {
        f"{part.name}.{name}" if part.name else name: layout
        for part in supernet.family.parts
        for name, layout in part.layouts.items()
    }
    wanted: dict[str, list[Tensor]] = {name: [] for name in readers}
    with ExitStack() as hooks, _by_batch(full):
        for name, layer in readers.items():
            kept = _kept(layouts.get(f"{name}.weight"), supernet, subnet, layer)
            hooks.enter_context(_recorded(layer, kept, wanted[name]))
        call(full, inputs)
    found: dict[str, float] = {}
    with ExitStack() as hooks, _by_batch(network):
        for name, targets in wanted.items():
            if len(targets) == 1:  # a layer that runs several times has no one answer
                hooks.enter_context(_repaired(name, own[name], targets[0], ridge, found))
        call(network, inputs)
    return found


def _reads_less(layer: nn.Module | None, truth: nn.Module) -> bool:
    """Whether a layer of a subnet has fewer inputs than in the full network, and can be fitted."""
    if not isinstance(layer, Layer) or not isinstance(truth, Layer) or getattr(layer, "groups", 1) != 1:
        return False
    if isinstance(layer, nn.Conv2d) and (isinstance(layer.padding, str) or layer.padding_mode != "zeros"):
        return False
    return layer.weight.shape[1] < truth.weight.shape[1] and layer.weight[0].numel() <= MOST_FEATURES


def _kept(layout: Layout | None, supernet: Supernet, subnet: Subnet, layer: nn.Module) -> Tensor:
    """Return the outputs of the full network's layer that the subnet has."""
    assert isinstance(layer, Layer)
    if layout is None:
        return torch.arange(len(layer.weight))
    segments = layout.axes[0].segments(subnet, supernet.space.largest())
    return torch.cat([torch.arange(start, stop) for start, stop in segments])


@contextmanager
def _by_batch(network: nn.Module) -> Iterator[None]:
    """Have BatchNorm use the statistics of the batch, and keep its own."""
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


@contextmanager
def _recorded(layer: nn.Module, kept: Tensor, targets: list[Tensor]) -> Iterator[None]:
    """Keep the outputs of a layer, those of a subnet's."""

    def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        targets.append(output.index_select(_channel(layer), kept).movedim(_channel(layer), -1).flatten(0, -2))

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _repaired(
    name: str, layer: nn.Module, target: Tensor, ridge: float, found: dict[str, float]
) -> Iterator[None]:
    """Fit a layer to its target before it runs."""

    def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, Layer)
        rows = _rows(layer, given[0])
        if name not in found and len(rows) == len(target):
            found[name] = _fit(layer, rows, target, ridge)

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _channel(layer: nn.Module) -> int:
    return 1 if isinstance(layer, nn.Conv2d) else -1


def _rows(layer: Layer, given: Tensor) -> Tensor:
    """Return what each output of a layer is made of: (examples × places, channels × kernel)."""
    if isinstance(layer, nn.Linear):
        return given.flatten(0, -2)
    if layer.kernel_size == (1, 1) and layer.padding == (0, 0):
        return given[:, :, :: layer.stride[0], :: layer.stride[1]].movedim(1, -1).flatten(0, -2)
    assert not isinstance(layer.padding, str)
    patches = F.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return patches.movedim(1, -1).flatten(0, -2)


def _fit(layer: Layer, rows: Tensor, target: Tensor, ridge: float) -> float:
    """Give a layer the weights of least error; returns that error as a share of the one before.

    Args:
        layer: What is fitted.
        rows: Its inputs (rows, features).
        target: What it should give for them (rows, outputs).
        ridge: See `repair_layers`.
    """
    size = rows.shape[1]
    if len(rows) > (most := _ROWS * size + 256):
        chosen = torch.linspace(0, len(rows) - 1, most).long()
        rows, target = rows[chosen], target[chosen]
    x = F.pad(rows, (0, 1), value=0.0 if layer.bias is None else 1.0)
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    before = torch.cat([layer.weight.flatten(1), bias[:, None]], 1).T
    # What is fitted is the change of the weights: the ridge holds them where they are.
    residual = target - x @ before
    gram, moment = (x.T @ x).double(), (x.T @ residual).double()
    held = torch.full((size + 1,), ridge * float(gram.diagonal()[:size].mean()) + 1e-9, dtype=torch.float64)
    held[size] = 1.0  # the bias is free
    change = torch.linalg.solve(gram + held.diag(), moment).float()
    left = float((residual - x @ change).square().sum() / residual.square().sum().clamp_min(1e-30))
    after = before + change
    layer.weight.copy_(after[:size].T.reshape(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(after[size])
    return left
