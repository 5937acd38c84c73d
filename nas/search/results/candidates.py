"""What a search has evaluated, read back from its run folder: for tables, plots and the app. Needs no torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError
from nas.search.engine.pareto import front
from nas.search.trials.folder import RunFolder

TABLE = "pareto.csv"
_COUNTS = ("macs", "params", "size_bytes")
_FIRST = ("trial", "role", "feasible")
_INACTIVE = -1


@dataclass(frozen=True)
class Candidates:
    """The evaluated subnets of a run, in the order of their trials (the smallest, where it was added, has trial -1).

    Attributes:
        quality: name, label, unit and direction of what was maximised, as run.json has them.
        dimensions: name to choices, smallest first; conditions are not kept.
        trial, role, feasible, value, predicted_ms, measured_ms, macs, params, size_bytes: arrays (n,); `measured_ms`
            is NaN where nothing was measured, `source` says whether `value` was measured or predicted.
        codes: (n, dimensions) positions of the choices, -1 where a dimension is not active.
    """

    quality: Mapping[str, Any]
    dimensions: Mapping[str, tuple[Any, ...]]
    trial: np.ndarray
    role: np.ndarray
    feasible: np.ndarray
    value: np.ndarray
    source: np.ndarray
    predicted_ms: np.ndarray
    measured_ms: np.ndarray
    p90_ms: np.ndarray
    macs: np.ndarray
    params: np.ndarray
    size_bytes: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.trial)

    @cached_property
    def score(self) -> np.ndarray:
        """The value (n,) where higher is better, its negative where lower is."""
        return self.value if self.quality["higher_is_better"] else -self.value

    @cached_property
    def latency_ms(self) -> np.ndarray:
        """The measured latency (n,) where there is one, else the predicted."""
        return np.where(np.isfinite(self.measured_ms), self.measured_ms, self.predicted_ms)

    def choices(self, row: int) -> dict[str, Any]:
        """Return the choices of a candidate, without inactive dimensions."""
        names = [*self.dimensions]
        return {
            names[place]: self.dimensions[names[place]][code]
            for place, code in enumerate(self.codes[row].tolist())
            if code != _INACTIVE
        }

    def allowed(self, kept: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """Return which candidates (n,) have only the `kept` choices in the dimensions named; inactive ones do."""
        mask = np.ones(len(self), dtype=bool)
        for place, (name, choices) in enumerate(self.dimensions.items()):
            if name in kept:
                codes = [choices.index(choice) for choice in kept[name]]
                mask &= np.isin(self.codes[:, place], [*codes, _INACTIVE])
        return mask

    def front(self, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the rows of the Pareto front (latency, score) among those of `mask`, quickest first."""
        rows = np.arange(len(self)) if mask is None else np.flatnonzero(mask)
        if not len(rows):
            return rows
        found = rows[front(np.column_stack([self.latency_ms[rows], -self.score[rows]]))]
        return found[np.argsort(self.latency_ms[found], kind="stable")]

    def best_within(self, limit_ms: float, mask: np.ndarray | None = None) -> int | None:
        """Return the row of the best candidate whose latency, measured where it was, keeps a limit; None of none."""
        inside = self.latency_ms <= limit_ms
        rows = np.flatnonzero(inside if mask is None else inside & mask)
        if not len(rows):
            return None
        return int(rows[np.lexsort((self.latency_ms[rows], -self.score[rows]))[0]])

    def hypervolume(self, limit_ms: float) -> float:
        """Return the area between the front and (limit, worst value), as a share of the box up to the best value.

        It grows with every improvement of the front within the limit, and is 0 without a candidate there.
        """
        inside = self.latency_ms <= limit_ms
        rows = self.front(inside)
        if not len(rows):
            return 0.0
        low, high = float(self.score.min()), float(self.score.max())
        if high <= low:
            return 1.0
        latency = np.append(self.latency_ms[rows], limit_ms)
        return float((np.diff(latency) * (self.score[rows] - low)).sum() / (limit_ms * (high - low)))


def read_candidates(folder: str | Path) -> Candidates:
    """Read a run's candidates from its pareto.csv, which a search writes while it runs, too.

    Raises `UsageError` for what is no run, `NasError` where there is no table yet or it is damaged.
    """
    run = RunFolder.open(Path(folder))
    path = run.path / TABLE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
    except FileNotFoundError as error:
        raise NasError(f"{run.path} has no {TABLE} yet; wait for its first trials, or resume it") from error
    except (OSError, ValueError, csv.Error) as error:
        raise NasError(f"{path} cannot be read ({error}); search again into a new folder") from error
    try:
        return _parsed(run.info, head, rows)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise NasError(f"{path} is no complete table ({error!r}); resume the run, or search again") from error


def _parsed(info: Mapping[str, Any], head: list[str], rows: list[list[str]]) -> Candidates:
    quality = info["maximised"]
    dimensions = {d["name"]: tuple(d["choices"]) for d in info["space"]["dimensions"]}
    if short := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"a row has {len(short[0])} columns, not {len(head)}")
    columns = dict(zip(head, zip(*rows, strict=True) if rows else [()] * len(head), strict=True))

    def numbers(name: str) -> np.ndarray:
        return np.array([float(text) if text else np.nan for text in columns[name]], dtype=np.float64)

    codes = np.empty((len(rows), len(dimensions)), dtype=np.int16)
    for place, (name, choices) in enumerate(dimensions.items()):
        known = {str(choice): code for code, choice in enumerate(choices)} | {"": _INACTIVE}
        codes[:, place] = [known[text] for text in columns[name]]
    trial, role, feasible = (columns[name] for name in _FIRST)
    return Candidates(
        quality=quality,
        dimensions=dimensions,
        trial=np.array(trial, dtype=np.int64),
        role=np.array(role, dtype=str),
        feasible=np.array(feasible) == "1",
        value=numbers(quality["name"]),
        source=np.array(columns["quality_source"], dtype=str),
        predicted_ms=numbers("predicted_latency_ms"),
        measured_ms=numbers("measured_latency_ms"),
        p90_ms=numbers("measured_p90_ms"),
        **{name: numbers(name) for name in _COUNTS},
        codes=codes,
    )
