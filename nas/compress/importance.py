"""Which entries of a network's elastic axes matter: channels, groups, heads, widths. Pruning leaves out entries.

Ways to find out are subclasses of `Importance`; those that come with the package have names (`IMPORTANCES`). A way of
your own is one more subclass, handed over as an object:

    class Random(Importance):
        name = "random"

        def __call__(self, supernet, examples=()):
            scores = l1_importance(supernet.family, supernet.network)
            return {axis: torch.rand_like(score) for axis, score in scores.items()}

    model.prune("small", macs="60%", importance=Random())
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.elastic import Inputs, Supernet, call, entry_scores, l1_importance
from nas.errors import UsageError

Example = tuple[Inputs, Tensor]
"""Inputs of the largest network, a batch, and what it should give for them (batch, …)."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""A scalar of an output and what it should be."""
Average = Callable[[Iterable[Tensor]], None]
"""Averages tensors over several processes, in place."""


class Importance(ABC):
    """A way to score the entries of every elastic axis of a supernet.

    Life cycle: made once, with what it needs to know; called once for a supernet, with examples where
    `needs_examples`; the scores order the entries (`Supernet.sort_channels`) and share out the error that leaving
    entries out causes (`nas.compress.costs`). It leaves the supernet, its gradients and its mode as they were.
    """

    name: ClassVar[str]
    """What it is called on a command line and in files."""
    needs_examples: ClassVar[bool] = False
    """Whether it runs the network; without, `examples` may be left out."""

    @abstractmethod
    def __call__(self, supernet: Supernet, examples: Iterable[Example] = ()) -> dict[str, Tensor]:
        """Return scores by axis.

        Args:
            supernet: the largest network with the family that names its axes.
            examples: (inputs, target) of the largest network.

        Returns:
            For each elastic axis by name a float64 tensor (entries,), 0 or more; higher is kept longer.

        Raises:
            UsageError: without examples where they are needed, or where the network has nothing to score.
        """


class L1(Importance):
    """The summed magnitude of an entry's weights: how once-for-all sorts channels (Cai et al. 2020). Needs no data."""

    name = "l1"

    def __call__(self, supernet: Supernet, examples: Iterable[Example] = ()) -> dict[str, Tensor]:
        return l1_importance(supernet.family, supernet.network)


class BatchNormScale(Importance):
    """The magnitude of the scales by which BatchNorm multiplies an entry: network slimming (Liu et al. 2017).

    Needs no data, but a network with BatchNorm behind what is elastic; axes that have none are left in their order.
    """

    name = "batch-norm"

    def __call__(self, supernet: Supernet, examples: Iterable[Example] = ()) -> dict[str, Tensor]:
        scales = {
            f"{name}.weight": norm.weight.detach().abs()
            for name, norm in supernet.network.named_modules()
            if isinstance(norm, _BatchNorm) and norm.weight is not None
        }
        scores = entry_scores(supernet.family, scales)
        if not scores:
            raise UsageError(
                f"{supernet.space.name} has no BatchNorm behind an elastic axis; choose another importance, such as l1"
            )
        return scores


class Taylor(Importance):
    """How much the loss is thought to change without an entry: |Σ w · ∂L/∂w| (Molchanov et al. 2019).

    Examples are batches; those whose loss is below `threshold` times the largest one's do not count: of denoisers,
    steps where the network hardly errs only add noise (Fang et al. 2023, "Structural Pruning for Diffusion Models").

    Args:
        loss: of outputs and targets; the mean squared error by default.
        threshold: from 0 (every example counts) to 1.
        average: where several processes each have a share of every example, averages over them.
    """

    name = "taylor"
    needs_examples = True

    def __init__(
        self, loss: Loss = F.mse_loss, *, threshold: float = 0.0, average: Average | None = None
    ) -> None:
        self._loss = loss
        self._threshold = threshold
        self._average = average

    def __call__(self, supernet: Supernet, examples: Iterable[Example] = ()) -> dict[str, Tensor]:
        was_training = supernet.training
        supernet.eval()
        try:
            found = [self._scores(supernet, inputs, target) for inputs, target in examples]
        finally:
            supernet.train(was_training)
        losses = torch.tensor([loss for loss, _ in found])
        if not len(losses) or not losses.isfinite().all():
            raise UsageError(
                f"importance needs examples with a finite loss, but the losses are {losses.tolist()}; give others"
            )
        total: dict[str, Tensor] = {}
        for loss, scores in found:
            if not self._threshold or loss >= self._threshold * float(losses.max()):
                for name, score in scores.items():
                    total[name] = total[name] + score if name in total else score
        return total

    def _scores(self, supernet: Supernet, inputs: Inputs, target: Tensor) -> tuple[float, dict[str, Tensor]]:
        """Return the loss of one example and each entry's score."""
        largest = supernet.space.largest()
        with torch.enable_grad(), _trainable(supernet.network), supernet.bound(largest) as network:
            weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
            value = self._loss(call(network, inputs), target)
            gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
        value = value.detach()
        if self._average is not None:
            self._average([value, *(gradient for gradient in gradients if gradient is not None)])
        products = {
            name: weight.detach() * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            if gradient is not None
        }
        return float(value), entry_scores(supernet.family, products)


class _trainable:
    """Parameters of floats may have gradients inside; outside, those that might not do not again."""

    def __init__(self, network: nn.Module) -> None:
        self._frozen = [p for p in network.parameters() if p.is_floating_point() and not p.requires_grad]

    def __enter__(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)

    def __exit__(self, *exception: object) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(False)


class OutputChange(Taylor):
    """How much the output is thought to change without an entry: Taylor scores that need inputs, but no targets.

    The output is projected on random signs (drawn from `seed`), once an example: the squares of such a projection's
    gradients are, on average, those of the whole output (Hutchinson 1990). So networks whose loss nobody has, such as a
    generator's, and networks that are their own truth can be scored. What targets the examples have is not looked at.
    """

    name = "output"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(self._projected)
        self._generator = torch.Generator().manual_seed(seed)

    def _projected(self, output: Tensor, target: Tensor) -> Tensor:
        signs = torch.randint(0, 2, output.shape, generator=self._generator).to(output) * 2 - 1
        return (output * signs).sum() / output[0].numel() ** 0.5 / len(output)


IMPORTANCES: Sequence[type[Importance]] = (L1, BatchNormScale, Taylor, OutputChange)
"""The ways that have a name."""


def get_importance(name: str) -> Importance:
    """Return the way called `name`, with its defaults; raises `UsageError` for another."""
    for kind in IMPORTANCES:
        if kind.name == name:
            return kind()
    known = ", ".join(kind.name for kind in IMPORTANCES)
    raise UsageError(f"there is no importance {name!r}; choose from {known}, or hand over an Importance")
