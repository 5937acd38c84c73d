"""The table of facts of `nas/zoo`: published accuracies joined with what each model computes, counted here.

    python -m tests.benchmarks.make_zoo_facts results-imagenet.csv

The file is timm's own (`results/results-imagenet.csv` of its repository, Apache-2.0), of which model, image size,
top-1, top-5, crop and interpolation are taken. Licences and where weights are from are in timm's configurations of
the pinned version; parameters and operations are counted on the meta device, so that no weight is fetched.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import timm
from timm.models import get_pretrained_cfg

from nas.files import read_json, write_json
from nas.zoo import FACTS, create_timm, operation_counts


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return a row for each model and image size of timm's results that this timm has weights of."""
    known = {*timm.list_models(pretrained=True)}
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] in known]
    return [
        {
            "model": row["model"],
            "image_size": int(row["img_size"]),
            "top1": float(row["top1"]),
            "top5": float(row["top5"]),
            "crop_pct": float(row["crop_pct"]),
            "interpolation": row["interpolation"],
        }
        for row in rows
    ]


def origin(model: str) -> dict[str, str]:
    """Return the licence that a model's weights have, and where they are."""
    config = get_pretrained_cfg(model)
    assert config is not None
    return {"license": str(config.license or "unknown"), "weights": str(config.hf_hub_id or config.url or "")}


def counted(rows: Sequence[Mapping[str, Any]], partial: Path) -> list[dict[str, Any]]:
    """Add counts to the rows; models of one architecture and image size share them.

    What is counted is kept in `partial`, from where an interrupted count goes on.
    """
    known: dict[str, dict[str, int]] = read_json(partial) if partial.exists() else {}
    found = []
    for number, row in enumerate(rows):
        name, size = row["model"], row["image_size"]
        key = f"{name.partition('.')[0]}@{size}"
        if key not in known:
            shape = 3, size, size
            known[key] = operation_counts(lambda name=name, size=size: create_timm(name, size), shape)
        found.append({**row, **origin(name), **known[key]})
        if number % 100 == 0:
            print(f"{number} of {len(rows)}", flush=True)
            write_json(partial, known)
    partial.unlink(missing_ok=True)
    return found


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the table, best models first."""
    ordered = sorted(rows, key=lambda row: (-row["top1"], row["model"], row["image_size"]))
    table = pa.Table.from_pylist([dict(row) for row in ordered])
    source = {
        "source": "timm results/results-imagenet.csv (Apache-2.0); counts by anyfit",
        "timm": timm.__version__,
    }
    pq.write_table(table.replace_schema_metadata(source), path, compression="zstd", compression_level=19)
    print(f"{path}: {len(rows)} rows, {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="timm's results-imagenet.csv")
    parser.add_argument("--output", type=Path, default=FACTS)
    given = parser.parse_args()
    partial = Path("build", f"zoo-counts-timm-{timm.__version__}.json")
    write(counted(read_results(given.results), partial), given.output)


if __name__ == "__main__":
    main()
