"""`nas gan interpolate`: from seed to seed or class to class, through style space."""

from __future__ import annotations

from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    fps_option,
    model_option,
    seeds_option,
    subnet_option,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import count_option, emit_result, json_option, path_option


@click.command()
@model_option
@subnet_option
@seeds_option
@click.option(
    "--class",
    "labels",
    metavar="CLASS",
    multiple=True,
    help="A class's name or number; may be given several times.",
)
@truncation_option
@count_option("--frames", 12, "Pictures from one to the next.", most=1000)
@click.option("--loop", is_flag=True, help="Go back to the first.")
@fps_option
@zoom_option
@path_option("--output", help="A new file: .gif and .apng move, .png is a strip.", default="interpolate.gif")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Move through style space in straight lines: between seeds, between classes, or both at once.

    \b
      nas gan interpolate --seed 1 --seed 2 --seed 3 --class 7 --loop
      nas gan interpolate --seed 1 --class 3 --class 8 --output three-to-eight.png
    """
    emit_result(stylegan2.interpolate_images(**options), as_json)
