"""Halves a model with another library, in that library's environment, and judges what is left.

    python _any_model_peers.py torch-pruning|torch-kirigami SECONDS < names of models

Whether the pruned network computes the right thing can be told where every removed channel is zero in a masked one: its
weights are numbered before it is pruned, so that what is left of them says which entries were kept.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from _any_models import forgetful, in_short, make, reveal, serve
from torch import Tensor, nn
from torch.func import functional_call

TOLERANCE = 1e-5
RATIO = 0.5


def torch_pruning(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Halve every layer; heads of attention are told as the library's own example for timm does."""
    import torch_pruning as tp

    layers = (nn.Linear, nn.Conv1d, nn.Conv2d)
    ends = {output.shape[-1]} if output.ndim < 4 else {output.shape[1]}
    ignored = [
        each
        for each in module.modules()
        if isinstance(each, layers)
        and getattr(each, "out_features", getattr(each, "out_channels", 0)) in ends
    ]
    heads = {layer: count for _, layers, count in _attentions(module) for layer in layers}
    pruner = tp.pruner.BasePruner(
        module,
        inputs,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=RATIO,
        num_heads=heads,
        ignored_layers=ignored,
        output_transform=None,
    )
    for group in pruner.step(interactive=True):
        group.prune()
    for attention, (first, *others), _ in _attentions(module):
        count = pruner.num_heads[first]
        width = first.out_features // (1 if others else 3)
        told = {
            "num_heads": count, "num_attention_heads": count, "head_dim": width // count,
            "attention_head_size": width // count, "all_head_size": width,
        }  # fmt: skip
        for name in told.keys() & vars(attention).keys():
            setattr(attention, name, told[name])


def _attentions(module: nn.Module) -> Iterator[tuple[nn.Module, list[Any], int]]:
    """Yield modules of attention with their projections and their number of heads."""
    for each in module.modules():
        count = getattr(each, "num_heads", getattr(each, "num_attention_heads", None))
        if not isinstance(count, int):
            continue
        if isinstance(getattr(each, "qkv", None), nn.Linear):
            yield each, [each.qkv], count
        elif all(isinstance(getattr(each, name, None), nn.Linear) for name in ("query", "key", "value")):
            yield each, [each.query, each.key, each.value], count


def torch_kirigami(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Halve every layer; where that cannot be reached, half of the parameters, or three quarters."""
    from torch_kirigami import DependencyGraph
    from torch_kirigami.pruning import (
        ChannelRatio,
        Greedy,
        GroupMagnitude,
        ParameterBudget,
        PlanningError,
        Pruner,
    )

    graph = DependencyGraph.build(module, args=inputs)
    pruner = Pruner(module, graph=graph)
    space = pruner.discover_candidates()
    budgets = [ChannelRatio(RATIO), *(ParameterBudget.from_ratio(module, ratio) for ratio in (RATIO, 0.25))]
    for budget in budgets:
        try:
            pruner.prune(space, budget=budget, strategy=Greedy(GroupMagnitude(p=2)))
            return
        except PlanningError as error:
            if budget is budgets[-1]:
                raise RuntimeError(in_short(error)) from error


PEERS: dict[str, Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]] = {
    "torch-pruning": torch_pruning,
    "torch-kirigami": torch_kirigami,
}


def judged(peer: str, model: str) -> dict[str, Any]:
    """Return what a library makes of a model: whether it runs, what is left, and whether that is right."""
    module, inputs = make(model)
    with torch.no_grad():
        output = module(*inputs)
    whole, count = copy.deepcopy(forgetful(module)), sum(p.numel() for p in module.parameters())
    start = time.perf_counter()
    PEERS[peer](module, inputs, output)
    seconds = time.perf_counter() - start
    left = sum(p.numel() for p in module.parameters()) / count
    found = {"params": f"{left:.3f}", "seconds": f"{seconds:.1f}"}
    if left == 1:
        return {**found, "error": "nothing is pruned"}
    with torch.no_grad():
        shape = module(*inputs).shape
    if shape != output.shape:
        return {**found, "error": f"its output has shape {tuple(shape)} instead of {tuple(output.shape)}"}
    try:
        proof = _proof(peer, whole, inputs, output)
    except Exception as error:
        proof = f"cannot be told: {in_short(error)}"
    return {**found, "result": "runs", "proof": proof}


@torch.no_grad()
def _proof(peer: str, whole: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> str:
    """Compare a pruned network with the whole one whose removed entries are zero: "equal", or by how much it differs."""
    with _doubled():
        inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
        weights, pruned = reveal(whole.state_dict()), copy.deepcopy(whole).double()
        for tensor in (*pruned.parameters(), *pruned.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.arange(1, tensor.numel() + 1, dtype=torch.float64).view(tensor.shape))
        with torch.enable_grad():
            PEERS[peer](pruned, inputs, output)
        masked, is_normalised = {}, False
        for name, left in pruned.state_dict().items():
            weight = weights[name]
            masked[name] = weight
            if left.is_floating_point() and left.shape != weight.shape:
                masked[name], own = _kept(weight, left)
                left.copy_(own)
                is_normalised |= _is_norm(whole, name)
            else:
                left.copy_(weight)
        expected = functional_call(forgetful(whole.double()), masked, inputs)
        error = float((pruned(*inputs) - expected).abs().max() / expected.abs().max())
    if error <= TOLERANCE:
        return "equal"
    return f"{'normalised anew, so cannot be told' if is_normalised else 'differs'} ({error:.0e})"


def _kept(weight: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight with zeros where an entry was removed, and what is left of it."""
    places = left.reshape(-1).round().long() - 1
    if left.numel() and (places.min() < 0 or places.max() >= weight.numel()):
        raise ValueError("a weight is no part of what it was")
    masked = torch.zeros(prod(weight.shape), dtype=weight.dtype)
    masked[places] = weight.reshape(-1)[places]
    return masked.view(weight.shape), weight.reshape(-1)[places].view(left.shape)


def _is_norm(module: nn.Module, name: str) -> bool:
    """Whether a tensor is of a layer that takes means over what was pruned."""
    kind = type(module.get_submodule(name.rpartition(".")[0])).__name__.lower()
    return ("norm" in kind or "grn" in kind) and "batch" not in kind


@contextmanager
def _doubled() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(lambda model: judged(sys.argv[1], model), float(sys.argv[2]))
