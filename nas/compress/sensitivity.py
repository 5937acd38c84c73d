"""How much each choice of a space matters: one made smaller at a time, against the full network's output."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from nas.elastic import Inputs, Supernet
from nas.errors import NasError, UsageError
from nas.files import write_atomic
from nas.space import Choice, Subnet

SENSITIVITY = "sensitivity.csv"
"""The table's name in a model's folder."""


@dataclass(frozen=True)
class Sensitivity:
    """What one choice, all else being the largest, costs and saves.

    `error` is the squared difference from the full network's output over that output's square, 0 for none; `macs` and
    `params` are the shares of the full network's that are saved.
    """

    dimension: str
    choice: Choice
    error: float
    macs: float
    params: float


@torch.no_grad()
def sensitivity(
    supernet: Supernet,
    batches: Iterable[Inputs],
    dimensions: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, count: None,
    *,
    changes: Sequence[tuple[str, Choice]] | None = None,
    network: Callable[[Subnet], Callable[[Inputs], torch.Tensor]] | None = None,
) -> list[Sensitivity]:
    """Return a row for every smaller choice of `dimensions`, most harmful first; by default of all of the network's.

    `changes` names single choices by their dimension instead. `network` makes what computes a subnet, by default the
    supernet as it is: where there is BatchNorm, its statistics have to be those of the subnet.
    `batches` are inputs of the network, of timesteps from all over the schedule. `progress` hears how many rows of how
    many are done. Raises `UsageError` without batches and for a dimension that the space has not.
    """
    space, inputs = supernet.space, list(batches)
    if not inputs:
        raise UsageError("a sensitivity table needs inputs, but none are given; give at least one batch")
    wanted_names = dimensions or (
        space.names if changes is None else list(dict.fromkeys(name for name, _ in changes))
    )
    names = [name for name in wanted_names if name not in supernet.family.pass_dimensions]
    if unknown := [name for name in names if name not in space]:
        raise UsageError(
            f"{space.name} has no dimension {unknown[0]!r}; its first ones are {', '.join(space.names[:6])}"
        )
    largest = space.largest()
    if changes is None:
        changes = [(name, choice) for name in names for choice in space[name].choices[:-1]]
    was_training = supernet.training
    supernet.eval()
    try:
        make = network or (lambda subnet: lambda x: supernet(x, subnet))
        wanted = _outputs(supernet, make, largest, inputs)
        subnets = [_changed(supernet, largest, name, choice) for name, choice in changes]
        counts = supernet.counts(space.codes([largest, *subnets]))
        saved = {kind: 1 - counts[kind][1:] / counts[kind][0] for kind in ("macs", "params")}
        rows = []
        for place, (name, choice) in enumerate(changes):
            error = _error(_outputs(supernet, make, subnets[place], inputs), wanted)
            macs, params = (float(saved[kind][place]) for kind in ("macs", "params"))
            rows.append(Sensitivity(name, choice, error, macs, params))
            progress(place + 1, len(changes))
    finally:
        supernet.train(was_training)
    return sorted(rows, key=lambda row: -row.error)


def _outputs(
    supernet: Supernet,
    make: Callable[[Subnet], Callable[[Inputs], torch.Tensor]],
    subnet: Subnet,
    inputs: Sequence[Inputs],
) -> list[torch.Tensor]:
    run = make(subnet)
    return [run(supernet.family.prepare(x, subnet)) for x in inputs]


def _changed(supernet: Supernet, largest: Subnet, name: str, choice: Choice) -> Subnet:
    return supernet.space.subnet({**largest, name: choice})


def _error(given: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    pairs = zip(given, wanted, strict=True)
    difference = sum(
        float((_sized(y, reference) - reference).double().square().sum()) for y, reference in pairs
    )
    return difference / max(sum(float(reference.double().square().sum()) for reference in wanted), 1e-30)


def _sized(given: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return a picture of another size enlarged as a viewer shows it; everything else as it is."""
    if given.shape == reference.shape or given.ndim != 4:
        return given
    return F.interpolate(given, size=tuple(reference.shape[2:]), mode="bilinear", align_corners=False)


def write_sensitivity(path: str | Path, rows: Sequence[Sensitivity]) -> None:
    """Write the table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Sensitivity)])
    for row in rows:
        dimension, choice, *numbers = astuple(row)
        writer.writerow([dimension, choice, *(f"{number:.6g}" for number in numbers)])
    write_atomic(Path(path), text.getvalue())


def read_sensitivity(path: str | Path, supernet: Supernet) -> list[Sensitivity]:
    """Read a table of `supernet`'s space; raises `NasError` for a damaged one or one of another space."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [_read(row, supernet) for row in csv.DictReader(file)]
    except OSError as error:
        raise NasError(f"{path} cannot be read ({error.strerror or error}); make it again") from error
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise NasError(
            f"{path} is no sensitivity table of {supernet.space.name} ({error}); make it again"
        ) from error


def _read(row: dict[str, Any], supernet: Supernet) -> Sensitivity:
    choices = supernet.space[row["dimension"]].choices
    choice = next(choice for choice in choices if str(choice) == row["choice"])
    return Sensitivity(
        row["dimension"], choice, float(row["error"]), float(row["macs"]), float(row["params"])
    )
