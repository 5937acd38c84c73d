"""Which groups, heads and widths of a denoiser matter: first-order Taylor scores over timesteps.

Removing a weight w changes the loss by about w · ∂L/∂w (Molchanov et al. 2019, "Importance Estimation for Neural
Network Pruning"). Timesteps where the network hardly errs only add noise and are left out (Fang et al. 2023,
"Structural Pruning for Diffusion Models").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.elastic import Inputs, Supernet, call, entry_scores
from nas.errors import UsageError

Loss = Callable[[Tensor, Tensor], Tensor]


def taylor_importance(
    supernet: Supernet,
    examples: Iterable[tuple[Inputs, Tensor]],
    *,
    threshold: float = 0.05,
    loss: Loss = F.mse_loss,
    average: Callable[[Iterable[Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Return the scores of the entries of every elastic axis, for `supernet.sort_channels`.

    `examples` are (inputs, target) of the largest network, each a batch of one timestep or of a few neighbours;
    `target` is what it should predict. An entry's score is the sum over examples of |Σ w · ∂L/∂w|. Examples whose loss
    is below `threshold` times the largest one's do not count. Where several processes each have their share of every
    example, `average` averages tensors over them in place. The supernet and its gradients stay as they are. Raises
    `UsageError` without examples, or where no loss is a number.
    """
    was_training = supernet.training
    found: list[tuple[float, dict[str, Tensor]]] = []
    supernet.eval()
    try:
        for inputs, target in examples:
            found.append(_scores(supernet, inputs, target, loss, average))
    finally:
        supernet.train(was_training)
    losses = torch.tensor([value for value, _ in found])
    if not len(losses) or not losses.isfinite().all():
        raise UsageError(
            f"importance needs examples with a finite loss, but the losses are {losses.tolist()}; give others"
        )
    total: dict[str, Tensor] = {}
    for value, scores in found:
        if value >= threshold * float(losses.max()):
            for name, score in scores.items():
                total[name] = total[name] + score if name in total else score
    return total


def _scores(
    supernet: Supernet,
    inputs: Inputs,
    target: Tensor,
    loss: Loss,
    average: Callable[[Iterable[Tensor]], None] | None,
) -> tuple[float, dict[str, Tensor]]:
    """Return the loss of one example and each entry's |Σ w · ∂L/∂w|."""
    with torch.enable_grad(), supernet.bound(supernet.space.largest()) as network:
        weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
        value = loss(call(network, inputs), target)
        gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
    value = value.detach()
    if average is not None:
        average([value, *(gradient for gradient in gradients if gradient is not None)])
    products = {
        name: weight.detach() * gradient
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        if gradient is not None
    }
    return float(value), entry_scores(supernet.family, products)
