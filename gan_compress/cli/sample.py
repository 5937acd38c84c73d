"""`nas gan sample`: images of seeds, as one grid or one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    model_option,
    output_option,
    seed_option,
    subnet_option,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import emit_result, json_option


@click.command()
@model_option
@subnet_option
@seed_option
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="How many seeds, from --seed on.",
)
@class_option
@truncation_option
@click.option(
    "--columns", type=click.IntRange(min=1), default=None, help="Images in a row (default: a square)."
)
@click.option("--single", is_flag=True, help="One PNG an image in a new folder, not a grid.")
@zoom_option
@output_option("A new .png file, or a new folder with --single.  [default: sample.png or samples]")
@json_option
def command(output: Path | None, as_json: bool, **options: Any) -> None:
    """Make images of COUNT seeds, of one class or of all classes in turn.

    \b
      nas gan sample --class 7 --truncation 0.7
      nas gan sample --subnet 0.5@16 --count 64 --single --output small
    """
    output = output or Path("samples" if options["single"] else "sample.png")
    emit_result(stylegan2.sample_images(output=output, **options), as_json)
