"""Calibration images: distilled from a supernet, and what they are worth beside real ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nas._table import Result, Table
from nas.data import Data
from nas.errors import UsageError
from nas.files import write_atomic
from nas.metrics.accuracy import compare_calibrations, pictures, require_classes
from nas.models import Model, save_calibration
from nas.progress import Listener, as_progress
from nas.train.calibration.distil import distil, with_statistics

_REAL_IMAGES = 2048


@dataclass(frozen=True)
class Calibrated:
    """New calibration images of a model: the file in its folder, and how many images it holds."""

    path: Path
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas calibrate --json` prints."""
        return {"calibration": str(self.path), "images": self.images}


@dataclass(frozen=True)
class CalibrationComparison(Result):
    """The top-1, in %, of random subnets with different BatchNorm statistics.

    Attributes:
        split: The images that judge.
        macs: Of each subnet.
        top1: A row for each subnet, by where the statistics are from: the supernet's own (sliced), those of the
            model's calibration images, those of real training images.
    """

    split: str
    macs: Sequence[int]
    top1: Sequence[dict[str, float]]

    @property
    def mean(self) -> dict[str, float]:
        """The mean over the subnets."""
        return {name: float(np.mean([row[name] for row in self.top1])) for name in self.top1[0]}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"split": self.split, "subnets": len(self.macs), "mean": self.mean}

    def table(self) -> Table:
        """Return a row for each subnet."""
        rows = [
            (str(index), str(macs), *(f"{value:.2f}" for value in row.values()))
            for index, (macs, row) in enumerate(zip(self.macs, self.top1, strict=True))
        ]
        return Table(("subnet", "macs", *self.top1[0]), rows)

    def write_csv(self, path: str | Path) -> None:
        """Write the table as CSV."""
        table, text = self.table(), io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.columns, *table.rows])
        write_atomic(Path(path), text.getvalue())


def calibrate_model(
    model: Model,
    data: Data,
    *,
    images: int = 256,
    steps: int = 600,
    seed: int = 0,
    progress: Listener | None = None,
) -> Calibrated:
    """Distil synthetic images that subnets' BatchNorm statistics are found on, and keep them with the model.

    Args:
        model: The supernet.
        data: Labelled images; 2,048 of the training ones are imitated, none is kept.
        images: How many are distilled, at least 2.
        steps: Of Adam.
        seed: Of all draws.
        progress: Hears the steps, and a remark where a table was measured with the images before these.

    Raises:
        UsageError: Data of other classes than the model's.
    """
    hear = as_progress(progress)
    require_classes(data, model.classes)
    real, _ = pictures(data, "train", model.preprocessing(), _REAL_IMAGES)
    found = distil(
        model.supernet,
        real,
        model.normalize,
        classes=len(model.classes),
        count=images,
        steps=steps,
        seed=seed,
        progress=hear.steps("distilling"),
    )
    save_calibration(model.path, with_statistics(model.supernet, found, real, model.normalize))
    table = model.path / "subnets.csv"
    if table.exists():
        hear.remark(
            f"{table} was measured with the images before these; remove it and run `nas measure` again"
        )
    return Calibrated(model.path / "calibration.npz", len(found))


def compare_model_calibrations(
    model: Model,
    data: Data,
    count: int,
    *,
    split: Literal["val", "test"] = "val",
    seed: int = 0,
    progress: Listener | None = None,
) -> CalibrationComparison:
    """Compare what random subnets are worth with sliced, distilled and real BatchNorm statistics.

    Args:
        model: The supernet.
        data: Labelled images.
        count: Random subnets.
        split: The images that are judged on.
        seed: Of the choice of subnets.
        progress: Hears how many subnets are compared.

    Raises:
        UsageError: Data of other classes, a model without calibration images.
    """
    require_classes(data, model.classes)
    if model.calibration_images() is None:
        raise UsageError(
            f"{model.path} has no calibration images to compare; make some with `nas calibrate` first"
        )
    real, _ = pictures(data, "train", model.preprocessing(), _REAL_IMAGES)
    pixels, labels = pictures(data, split, model.preprocessing())
    codes = model.space.sample_codes(np.random.default_rng(seed), count)
    subnets = [model.space.from_codes(row) for row in codes]
    advance = as_progress(progress).steps("comparing statistics")
    rows = compare_calibrations(model, subnets, pixels, labels, real, progress=advance)
    return CalibrationComparison(split, [model.supernet.count(subnet).macs for subnet in subnets], rows)


__all__ = ["Calibrated", "CalibrationComparison", "calibrate_model", "compare_model_calibrations"]
