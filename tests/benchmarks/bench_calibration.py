"""Accuracy of 30 random subnets with BatchNorm statistics that are sliced, from shipped synthetic images, and real.

    python -m tests.benchmarks.bench_calibration [--images 5000] [--subnets 30]

Needs CIFAR-10 as parquet (`$ANYFIT_SHARED` or ../shared, folder data/cifar10). Writes results/calibration.csv.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
from pathlib import Path

import numpy as np
import torch

from nas.data.dataset import open_data
from nas.metrics.accuracy import compare_calibrations, pictures
from nas.models import load_model

RESULT = Path(__file__).with_name("results") / "calibration.csv"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--subnets", type=int, default=30)
    arguments = parser.parse_args()
    shared = Path(os.environ.get("ANYFIT_SHARED") or Path(__file__).parents[3] / "shared")
    if not (shared / "data" / "cifar10").is_dir():
        print("skipped: CIFAR-10 is not at hand; name the folder that holds data/cifar10 in ANYFIT_SHARED")
        return
    model = load_model("mbv3-cifar10")
    data = open_data(str(shared / "data" / "cifar10"))
    images, labels = pictures(data, "val", model.preprocessing(), arguments.images)
    real, _ = pictures(data, "train", model.preprocessing(), 2048)
    drawn = model.space.sample_codes(np.random.default_rng(7), arguments.subnets)
    subnets = [model.space.from_codes(row) for row in drawn]
    found = compare_calibrations(model, subnets, images, labels, real)
    kinds = [*found[0]]
    rows = [
        {"macs": model.supernet.count(subnet).macs, **top1}
        for subnet, top1 in zip(subnets, found, strict=True)
    ]
    rows.append({"macs": "mean", **{kind: float(np.mean([row[kind] for row in rows])) for kind in kinds}})
    print({key: value if isinstance(value, str) else round(value, 2) for key, value in rows[-1].items()})
    RESULT.parent.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, torch {torch.__version__}, {len(labels)} validation images"
    with open(RESULT, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["macs", *kinds, "machine"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "machine": machine} for row in rows)


if __name__ == "__main__":
    main()
