"""`nas gan sample`: images of seeds, as one grid or one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    model_option,
    seed_option,
    subnet_option,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import count_option, emit_result, json_option, path_option


@click.command()
@model_option
@subnet_option
@seed_option
@count_option("--count", 16, "How many seeds, from --seed on.", most=10_000)
@class_option
@truncation_option
@count_option("--columns", None, "Images in a row (default: a square).")
@click.option("--single", is_flag=True, help="One PNG an image in a new folder, not a grid.")
@zoom_option
@path_option(
    "--output", help="A new .png file, or a new folder with --single.  [default: sample.png or samples]"
)
@json_option
def command(output: Path | None, as_json: bool, **options: Any) -> None:
    """Make images of COUNT seeds, of one class or of all classes in turn.

    \b
      nas gan sample --class 7 --truncation 0.7
      nas gan sample --subnet 0.5@16 --count 64 --single --output small
    """
    output = output or Path("samples" if options["single"] else "sample.png")
    emit_result(stylegan2.sample_images(output=output, **options), as_json)
