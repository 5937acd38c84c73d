"""`nas gan consistency`: how well every width and resolution keeps the full generator's images."""

from __future__ import annotations

from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, subnets_option
from nas.cli.commands import (
    count_option,
    data_options,
    emit_result,
    given_data,
    json_option,
    path_option,
    shown_progress,
)


@click.command()
@model_option
@subnets_option
@data_options(required=False)
@count_option("--limit", 2000, "Real images for labels and KID.", least=2)
@count_option("--samples", 500, "Images of each subnet.", least=2)
@path_option("--output", help="A new .csv file for the table.")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Compare the images of subnets with the full generator's: by default every width at every resolution.

    The distance is in the features of a classifier, the pixel error the root mean square of pixels from 0 to 1. With
    --data also the kernel distance to the real images and, where they have labels, the share of images whose label a
    classifier does not change. The path length says how much a small step in style changes an image, its spread how
    unevenly.
    """
    data = given_data(options)
    with shown_progress(announces=False) as progress:
        found = stylegan2.compare_subnets(data=data, progress=progress, **options)
    emit_result(found, as_json)
