"""The table of a supernet's measured subnets: one CSV row a subnet, a column a dimension, empty where inactive."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas._errors import NasError
from nas._files import write_atomic
from nas.space import INACTIVE, SearchSpace, SpaceError

SPLITS = ("fit", "held-out")
_MEASURES = ("top1", "split", "macs", "params")


@dataclass(frozen=True)
class MeasuredTable:
    """Measured subnets: `codes` (n, dimensions), `top1` (n,) in percent on validation images, MACs and parameters.

    `split` says of each row whether predictors are fitted on it ("fit") or only judged by it ("held-out").
    """

    space: SearchSpace
    codes: np.ndarray
    top1: np.ndarray
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
            self.top1[keep],
            tuple(own for own in self.split if own == split),
            self.macs[keep],
            self.params[keep],
        )

    def to_csv(self) -> str:
        """Return the table as CSV text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.space.names, *_MEASURES])
        for codes, top1, split, macs, params in zip(
            self.codes, self.top1, self.split, self.macs, self.params, strict=True
        ):
            choices = [
                "" if code < 0 else dimension.choices[code]
                for dimension, code in zip(self.space.dimensions, codes.tolist(), strict=True)
            ]
            writer.writerow([*choices, f"{top1:.2f}", split, int(macs), int(params)])
        return text.getvalue()

    def write(self, path: str | Path) -> None:
        """Write the table as CSV, atomically."""
        write_atomic(path, self.to_csv())

    @classmethod
    def read(cls, path: str | Path, space: SearchSpace) -> MeasuredTable:
        """Read a CSV table of subnets of `space`; a damaged file or another space's raises `NasError`."""
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            if not rows or rows[0] != [*space.names, *_MEASURES]:
                raise ValueError(
                    "the columns are not the dimensions of the space and top1, split, macs, params"
                )
            codes = np.array([_codes(space, row) for row in rows[1:]], dtype=np.int16)
            top1, split, macs, params = (
                zip(*(row[-4:] for row in rows[1:]), strict=True) if rows[1:] else ((),) * 4
            )
            table = cls(
                space,
                space.canonical_codes(codes.reshape(-1, len(space.dimensions))),
                np.array(top1, dtype=np.float64),
                tuple(split),
                np.array(macs, dtype=np.int64),
                np.array(params, dtype=np.int64),
            )
            table._check()
        except (OSError, ValueError, OverflowError, csv.Error, SpaceError) as error:
            raise NasError(
                f"{path} is no complete table of {space.name}: {error}; measure it again"
            ) from error
        return table

    def _check(self) -> None:
        if not ((self.top1 >= 0) & (self.top1 <= 100)).all():
            raise ValueError("a top1 is no percentage between 0 and 100")
        if foreign := set(self.split) - set(SPLITS):
            raise ValueError(f"a split is {min(foreign)!r}, not one of {', '.join(SPLITS)}")


def _codes(space: SearchSpace, row: list[str]) -> list[int]:
    if len(row) != len(space.dimensions) + len(_MEASURES):
        raise ValueError(f"a row has {len(row)} columns, not {len(space.dimensions) + len(_MEASURES)}")
    codes = []
    for dimension, text in zip(space.dimensions, row, strict=False):
        legal = [str(choice) for choice in dimension.choices]
        if text and text not in legal:
            raise ValueError(f"{dimension.name} is {text!r}, not one of {', '.join(legal)}")
        codes.append(legal.index(text) if text else INACTIVE)
    return codes
