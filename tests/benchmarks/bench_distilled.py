"""Top-1 of a supernet of a real network before and after (or during) training beside it, at the network's own resolution.

    python -m tests.benchmarks.bench_distilled RUN --data FOLDER [--split test] [--limit N] [--start MODEL]

RUN is the folder of `nas train --recipe distil-lite0`: its model, or else its last checkpoint, is judged beside the supernet
that it began with (--start; by default the recipe's network, adopted again or from the cache). Judged are the network
itself and its uniform subnets at three quarters and half of the multiply-accumulates, and one without two blocks, with
statistics of 512 training images of FOLDER. Nothing is trained on the judged split. Writes results/distilled.csv.
"""

from __future__ import annotations

import argparse
import csv
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import torch

from nas import api
from nas.data import open_data
from nas.elastic import Family, Supernet, channels_last
from nas.families import get_family
from nas.metrics.accuracy import evaluate_subnet, pictures
from nas.models import load_model
from nas.models.task import Split
from nas.space import Subnet
from nas.train.checkpoint import CHECKPOINT, read_checkpoint
from nas.train.classifiers.recipe import ClassifierRecipe

RESULT = Path(__file__).with_name("results") / "distilled.csv"
SHARES = {"whole": 1.0, "three quarters": 0.75, "half": 0.5}
CALIBRATION = 512


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--split", choices=get_args(Split), default="test")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--start")
    given = parser.parse_args()
    if given.run is None or given.data is None:
        print("skipped: name the folder of a training and the images, as --help says")
        return
    checkpoint = read_checkpoint(given.run / CHECKPOINT)
    recipe = ClassifierRecipe.from_dict(checkpoint.recipe)
    data = open_data(given.data)
    start = load_model(given.start or api.adopted_start(recipe.network, data))
    how = start.preprocessing()
    images, labels = pictures(data, given.split, how, given.limit)
    calibration, _ = pictures(data, "train", how, CALIBRATION)
    trained = Supernet(get_family(checkpoint.about["family"], **checkpoint.about["options"]))
    trained.load_state_dict(checkpoint.state["ema" if recipe.ema_decay else "supernet"])
    supernets = {"before": start.supernet, f"step {checkpoint.step}": channels_last(trained).eval()}
    rows = []
    for subnet_name, subnet in judged(start.supernet).items():
        for when, supernet in supernets.items():
            top1 = evaluate_subnet(supernet, subnet, images, labels, start.normalize, calibration)
            macs = supernet.count(subnet).macs
            rows.append({"subnet": subnet_name, "macs": macs, "when": when, "top1": round(top1, 2)})
            print(f"{subnet_name:15} {macs / 1e6:6.0f} M MACs  {when:12} {top1:6.2f}%", flush=True)
    machine = (
        f"{platform.machine()}, torch {torch.__version__}, {len(labels)} {given.split} images of {data.name}"
    )
    RESULT.parent.mkdir(exist_ok=True)
    with open(RESULT, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "model", "machine"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "model": recipe.name, "machine": machine} for row in rows)


def judged(supernet: Supernet) -> Mapping[str, Subnet]:
    """Return the network itself, its uniform subnets, and one without two blocks, at its own resolution."""
    family = supernet.family
    found = {name: uniform(supernet, share) for name, share in SHARES.items()}
    blocks = [name for name in family.space.names if name.endswith(".kept")]
    found["two blocks less"] = family.space.subnet({**family.native, **dict.fromkeys(blocks[-2:], False)})
    return found


def uniform(supernet: Supernet, share: float) -> Subnet:
    """Return the uniform subnet whose multiply-accumulates are nearest to a share of the network's."""
    family: Family = supernet.family
    own = {
        name: family.native[name] for name in family.space.names if name.endswith((".kernel", "resolution"))
    }
    whole = supernet.count(family.native).macs
    subnets = {family.uniform(width / 16, **own) for width in range(17)}
    return min(subnets, key=lambda subnet: abs(supernet.count(subnet).macs - share * whole))


if __name__ == "__main__":
    main()
