"""The table of a supernet's measured subnets: one CSV row a subnet, a column a dimension, empty where inactive."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.errors import NasError
from nas.files import write_atomic
from nas.models.task import Quality
from nas.space import INACTIVE, SearchSpace, SpaceError

SPLITS = ("fit", "held-out")
_LAST = ("split", "macs", "params")


@dataclass(frozen=True)
class MeasuredTable:
    """Measured subnets: `codes` (n, dimensions), the values (n,) of each quality by name, MACs and parameters.

    `split` says of each row whether predictors are fitted on it ("fit") or only judged by it ("held-out").
    """

    space: SearchSpace
    codes: np.ndarray
    values: Mapping[str, np.ndarray]
    split: tuple[str, ...]
    macs: np.ndarray
    params: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, split: str) -> MeasuredTable:
        """Return the rows of one split."""
        keep = np.array([own == split for own in self.split], dtype=bool)
        return MeasuredTable(
            self.space,
            self.codes[keep],
            {name: values[keep] for name, values in self.values.items()},
            tuple(own for own in self.split if own == split),
            self.macs[keep],
            self.params[keep],
        )

    def to_csv(self) -> str:
        """Return the table as CSV text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.space.names, *self.values, *_LAST])
        for row, codes in enumerate(self.codes):
            choices = [
                "" if code < 0 else dimension.choices[code]
                for dimension, code in zip(self.space.dimensions, codes.tolist(), strict=True)
            ]
            values = [f"{column[row]:.6g}" for column in self.values.values()]
            writer.writerow([*choices, *values, self.split[row], int(self.macs[row]), int(self.params[row])])
        return text.getvalue()

    def write(self, path: str | Path) -> None:
        """Write the table as CSV, atomically."""
        write_atomic(path, self.to_csv())

    @classmethod
    def read(cls, path: str | Path, space: SearchSpace, qualities: Sequence[Quality]) -> MeasuredTable:
        """Read a CSV table of subnets of `space`; a damaged file or another space's raises `NasError`."""
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            names = _names(rows, space, qualities)
            first, width = len(space.dimensions), len(rows[0])
            if short := [row for row in rows[1:] if len(row) != width]:
                raise ValueError(f"a row has {len(short[0])} columns, not {width}")
            codes = np.array([_codes(space, row) for row in rows[1:]], dtype=np.int16)
            columns = [[row[place] for row in rows[1:]] for place in range(first, width)]
            found = [np.array(column, dtype=np.float64) for column in columns[: len(names)]]
            split, macs, params = columns[len(names) :]
            table = cls(
                space,
                space.canonical_codes(codes.reshape(-1, first)),
                dict(zip(names, found, strict=True)),
                tuple(split),
                np.array(macs, dtype=np.int64),
                np.array(params, dtype=np.int64),
            )
            table._check(qualities)
        except (OSError, ValueError, OverflowError, csv.Error, SpaceError) as error:
            raise NasError(
                f"{path} is no complete table of {space.name}: {error}; measure it again"
            ) from error
        return table

    def _check(self, qualities: Sequence[Quality]) -> None:
        for quality in qualities:
            low, high = quality.bounds
            values = self.values.get(quality.name, np.empty(0))
            if not (np.isfinite(values) & (values >= low) & (values <= high)).all():
                between = "" if np.isinf([low, high]).any() else f" between {low:g} and {high:g}"
                raise ValueError(f"a {quality.name} is no number{between}")
        if foreign := set(self.split) - set(SPLITS):
            raise ValueError(f"a split is {min(foreign)!r}, not one of {', '.join(SPLITS)}")


def _names(rows: list[list[str]], space: SearchSpace, qualities: Sequence[Quality]) -> list[str]:
    """Return the names of the columns that hold qualities."""
    head = rows[0] if rows else []
    names = head[len(space.dimensions) : -len(_LAST)]
    known = {quality.name for quality in qualities}
    if head != [*space.names, *names, *_LAST] or not names or not set(names) <= known:
        one = " or ".join(sorted(known))
        raise ValueError(
            f"the columns are not the dimensions of the space, then {one}, then {', '.join(_LAST)}"
        )
    return names


def _codes(space: SearchSpace, row: list[str]) -> list[int]:
    codes = []
    for dimension, text in zip(space.dimensions, row, strict=False):
        legal = [str(choice) for choice in dimension.choices]
        if text and text not in legal:
            raise ValueError(f"{dimension.name} is {text!r}, not one of {', '.join(legal)}")
        codes.append(legal.index(text) if text else INACTIVE)
    return codes
