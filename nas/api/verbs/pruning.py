"""Pruning: which subnet of a model is within a limit and costs least, found without a table and without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nas import api, compress, models
from nas._table import Result, Table
from nas.api.verbs.exporting import export_target
from nas.compress import Cut, Importance, PruneConfig
from nas.data import Data
from nas.errors import UsageError
from nas.files import new_place
from nas.latency import format_count
from nas.progress import Listener, as_progress
from nas.space import Subnet

_SHOWN = 20


@dataclass(frozen=True)
class Pruning(Result):
    """A subnet that pruning chose, or only the sensitivity of a model's choices.

    Attributes:
        model: The supernet.
        cut: The subnet, counts of one pass before and after, the sensitivity table, what importance was found by.
        folder: Where the subnet was exported to; None where it was not.

    Example:
        found = model.prune(macs="60%")
        network = found.network()
    """

    model: api.Model
    cut: Cut
    folder: Path | None = None

    @property
    def subnet(self) -> Subnet:
        """What is kept; raises `UsageError` where only the sensitivity was asked for."""
        if self.cut.subnet is None:
            raise UsageError("nothing was pruned, only the sensitivity measured; give a subnet or a limit")
        return self.cut.subnet

    def network(self) -> nn.Module:
        """Return the pruned network, calibrated, as an ordinary module in evaluation mode."""
        return self.model.extract(self.subnet)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        cut = self.cut
        return {
            "model": self.model.name,
            "path": None if self.folder is None else str(self.folder),
            "subnet": None if cut.subnet is None else cut.subnet.to_dict(),
            "before": asdict(cut.before),
            "after": asdict(cut.after),
            "importance": cut.importance,
            "sensitivity": [asdict(row) for row in cut.rows],
        }

    def table(self) -> Table:
        """Return parameters and MACs before and after; where nothing was cut, the sensitivity."""
        if self.cut.subnet is None:
            return self.sensitivity()
        before, after = self.cut.before, self.cut.after
        rows = [
            (name, format_count(first), format_count(then), f"{then / first:.1%}")
            for name, first, then in (
                ("parameters", before.params, after.params),
                ("MACs a pass", before.macs, after.macs),
            )
        ]
        return Table((self.model.name, "before", "after", "share"), rows)

    def sensitivity(self, most: int = _SHOWN) -> Table:
        """Return what choices cost and save, one at a time, the most harmful first."""
        rows = [
            (row.dimension, str(row.choice), f"{row.error:.2e}", f"{row.macs:.1%}", f"{row.params:.1%}")
            for row in self.cut.rows[:most]
        ]
        return Table(("dimension", "only", "error", "MACs saved", "parameters saved"), rows)

    def tables(self) -> Sequence[Table]:
        measured = [self.sensitivity()] if self.cut.rows else []
        return [*measured, *([] if self.cut.subnet is None else [self.table()])]

    @property
    def remarks(self) -> Sequence[str]:
        """What to say beside the table."""
        found = [f"importance: {self.cut.importance}"] if self.cut.importance else []
        return [*found, *([] if self.folder is None else [f"wrote {self.folder}"])]


def prune_model(
    model: models.Model,
    output: str | Path | None = None,
    *,
    data: Data | Mapping[str, Any] | str | None = None,
    progress: Listener | None = None,
    importance: str | Importance | None = None,
    **options: Any,
) -> Result:
    """Prune a model; `nas.Model.prune` says what the arguments are."""
    folder, hear = new_place(output), as_progress(progress)
    if [*model.family.programs] != [""]:
        return model.task.prune(model, folder, data=data, progress=hear, **options)
    try:
        config = PruneConfig(**options)
    except TypeError as error:
        raise UsageError(
            f"pruning a model for {model.task.name} does not take these settings ({error}); "
            "see `nas.compress.PruneConfig`"
        ) from error
    cut = compress.prune_model(model, config, api.opened(data), importance=importance, progress=hear)
    if folder is not None and cut.subnet is not None:
        export_target(model, None, folder, subnet=cut.subnet, measured=False, progress=hear)
    return Pruning(api.Model.of(model), cut, folder)


__all__ = ["Pruning", "prune_model"]
