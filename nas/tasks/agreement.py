"""Qualities that need no labels: how far a subnet is from the full network, which it is a part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.elastic import Inputs, batch_of, call
from nas.errors import UsageError
from nas.models import Evaluator, Forward, Model, Quality
from nas.space import Subnet

AGREEMENT = Quality("agreement", "agreement with the full network", "%", bounds=(0.0, 100.0))
"""The share of inputs for which a subnet names the same class as the full network."""
DIVERGENCE = Quality(
    "divergence", "divergence from the full network", higher_is_better=False, bounds=(0.0, float("inf"))
)
"""The mean Kullback-Leibler divergence of a subnet's classes from the full network's, in nats."""
ERROR = Quality("error", "error of the output", "%", higher_is_better=False, bounds=(0.0, float("inf")))
"""The error of a subnet's output, root mean square, as a share of the full network's output."""


def _classes(output: Tensor) -> Tensor:
    """Return outputs with their classes in the last axis: of maps they stand behind the batch, else last."""
    return output.movedim(1, -1) if output.ndim > 3 else output


def _agreement(given: Tensor, truth: Tensor) -> Tensor:
    same = _classes(given).argmax(-1) == _classes(truth).argmax(-1)
    return 100 * same.float().flatten(1).mean(1) if same.ndim > 1 else 100 * same.float()


def _divergence(given: Tensor, truth: Tensor) -> Tensor:
    ours, theirs = (_classes(each).float().log_softmax(-1) for each in (given, truth))
    found = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    return (found.flatten(1).mean(1) if found.ndim > 1 else found).clamp_min(0)


def _error(given: Tensor, truth: Tensor) -> Tensor:
    return (given - truth).float().square().flatten(1).mean(1)


_MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    AGREEMENT.name: _agreement, DIVERGENCE.name: _divergence, ERROR.name: _error,
}  # fmt: skip


class BesideFull(Evaluator):
    """How far networks are from the full one, on fixed inputs without labels.

    Args:
        model: Whose subnets are judged.
        quality: One of this module's.
        batches: Inputs of the full network.
        data: What they are, for readers.

    Raises:
        UsageError: The full network has no weights here, as where an export alone is judged.
    """

    def __init__(self, model: Model, quality: Quality, batches: Sequence[Inputs], data: str) -> None:
        if any(parameter.is_meta for parameter in model.supernet.parameters()):
            raise UsageError(
                f"{quality.label} is found beside the full network, which {model.name} alone has not; name the model"
            )
        self.quality, self.data = quality, data
        self.input_count = sum(map(batch_of, batches))
        self._batches = [*batches]
        self._truth: list[Tensor] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_truth": []}

    def prepare(self, model: Model) -> Callable[[], None]:
        return lambda: self._run_full(model)

    @torch.inference_mode()
    def _run_full(self, model: Model) -> None:
        """Find what the full network says, once."""
        if not self._truth:
            native = model.family.native
            network = model.extract(native)
            self._truth = [call(network, model.family.prepare(batch, native)) for batch in self._batches]

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        """Return the quality of `forward`."""
        self._run_full(model)
        measure = _MEASURES[self.quality.name]
        found = torch.cat(
            [
                measure(forward(model.family.prepare(batch, subnet)), truth)
                for batch, truth in zip(self._batches, self._truth, strict=True)
            ]
        )
        value = float(found.double().mean())
        if self.quality != ERROR:
            return value
        size = torch.cat([truth.float().square().flatten(1).mean(1) for truth in self._truth]).double().mean()
        return 100 * (value / max(float(size), 1e-30)) ** 0.5


def is_adopted(model: Model[Any]) -> bool:
    """Whether a model is a network that was adopted: of such the full network alone was trained."""
    return model.info.get("data") == "adopted"
