"""`nas gan consistency`: how well every width and resolution keeps the full generator's images."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, open_model, output_option, say, subnets_option
from nas.api.tables import plain_table
from nas.cli.commands import data_options, emit_json, json_option, opened, progress_bar, result_console
from nas.files import replacing
from nas.latency.units import format_count
from nas.pictures import check_output

if TYPE_CHECKING:
    from gan_compress.stylegan2.consistency import Consistency
    from nas.models import Model


@click.command()
@model_option
@subnets_option
@data_options(required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=2),
    default=2000,
    show_default=True,
    help="Real images for labels and KID.",
)
@click.option(
    "--samples", type=click.IntRange(min=2), default=500, show_default=True, help="Images of each subnet."
)
@output_option("A new .csv file for the table.")
@json_option
def command(
    model: str | None,
    subnets: tuple[str, ...],
    limit: int,
    samples: int,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the images of subnets with the full generator's: by default every width at every resolution.

    The distance is in the features of a classifier, the pixel error the root mean square of pixels from 0 to 1. With
    --data also the kernel distance to the real images and, where they have labels, the share of images whose label a
    classifier does not change. The path length says how much a small step in style changes an image, its spread how
    unevenly.
    """

    if output is not None:
        check_output(output, (".csv",))
    loaded, found = open_model(model, subnets)
    labelled = None if options["data"] is None else _labelled(loaded, opened(options), limit)
    with progress_bar("comparing") as advance:
        rows = stylegan2.measure_consistency(
            loaded, found or stylegan2.uniform_subnets(loaded), labelled, count=samples, progress=advance
        )
    if output is not None:
        _write(output, rows)
    if as_json:
        emit_json({"model": loaded.name, "samples": samples, "subnets": [asdict(row) for row in rows]})
        return
    _show(rows)
    if output is not None:
        say(f"wrote {output}")


def _labelled(model: Model, data: Any, limit: int) -> stylegan2.Labelled:
    from nas.data.images import real_images

    real = real_images(data, stylegan2.resolution_of(model), limit=limit)
    return stylegan2.Labelled(real.pixels, real.labels, tuple(data.classes))


def _show(rows: list[Consistency]) -> None:
    from nas.metrics.features import DEFAULT

    columns = ["subnet", "MACs", "distance", "pixel error", "path length", "spread"]
    cells = [
        [
            row.name, format_count(row.macs), f"{row.distance:.4f}", f"{row.pixel_error:.4f}",
            f"{row.path_length:.3g}", f"{row.path_spread:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    optional = {
        "same label": [None if row.agreement is None else f"{row.agreement:.1%}" for row in rows],
        "KID × 1000": [None if row.kid is None else f"{row.kid:.2f}" for row in rows],
    }
    for title, values in optional.items():
        if values[0] is not None:
            columns.append(title)
            cells = [[*line, value or ""] for line, value in zip(cells, values, strict=True)]
    result_console().print(plain_table(columns, cells, left=("subnet",)))
    say(f"distance, path length and KID in {DEFAULT} features; all beside the full generator's images")


def _write(path: Path, rows: list[Consistency]) -> None:

    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row).items()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values})
