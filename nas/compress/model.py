"""Pruning a model: which subnet is within a limit and costs least, found without a table and without a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from nas.compress.importance import Importance, OutputChange, Taylor, get_importance
from nas.compress.prune import Cut, Progress, PruneConfig, decide, silent
from nas.compress.repair import extracted
from nas.elastic import Inputs, call
from nas.errors import UsageError
from nas.models import Examples, Model
from nas.space import Subnet


def chosen_importance(
    asked: str | Importance | None, loss: Callable[[Tensor, Tensor], Tensor] | None, seed: int = 0
) -> Importance:
    """Return what scores entries: the one asked for, else Taylor scores of the loss, else those of the output."""
    if isinstance(asked, Importance):
        return asked
    if asked in (None, Taylor.name) and loss is not None:
        return Taylor(loss)
    if asked == Taylor.name:
        raise UsageError(
            "taylor scores need examples with what is right for them; give labelled images with --data, or choose "
            "output, l1 or batch-norm"
        )
    return OutputChange(seed=seed) if asked in (None, OutputChange.name) else get_importance(asked)


def prune_model(
    model: Model,
    config: PruneConfig,
    data: Any = None,
    *,
    importance: str | Importance | None = None,
    progress: Progress = silent,
) -> Cut:
    """Decide which subnet of a model is kept.

    Subnets of a trained supernet keep what it was trained to keep: the entries' order stays.

    Args:
        model: any; one that is not trained elastically yet is pruned before it is.
        config: a subnet or limits, and how much is looked at.
        data: examples with what is right for them, where the task knows what to do with some.
        importance: a name (`nas.compress.IMPORTANCES`) or an object; by default Taylor scores where there is a loss,
            scores of the output's change where there is none.
        progress: hears the stages.

    Raises:
        UsageError, InfeasibleError: as `decide` does.
    """
    found: list[Examples] = []

    def examples() -> Examples:
        if not found:
            found.append(model.task.examples(model, config.samples, data, seed=config.seed))
        return found[0]

    # What the loss is decides how entries are scored, so that examples are made before they are asked for.
    is_asked = isinstance(importance, Importance) or importance not in (None, Taylor.name)
    is_measured = config.is_limited or config.table
    loss = examples().loss if is_measured and not is_asked else None
    scores = chosen_importance(importance if is_measured else None, loss, config.seed)

    def network(subnet: Subnet) -> Callable[[Inputs], Tensor]:
        module = extracted(model, subnet)
        return lambda x: call(module, x)

    return decide(
        model.supernet,
        config,
        scores,
        lambda: examples().batches,
        keeps_order=True,
        network=network,
        progress=progress,
    )
