"""`nas diffusion sample`: images of prompts and seeds, as one grid or one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import pipeline as pipelines
from diffusion.cli._options import (
    device_option,
    pipeline_option,
    sampling_options,
    seed_option,
    threads_option,
)
from nas.cli.commands import count_option, emit_result, json_option, path_option, shown_progress


@click.command()
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@pipeline_option
@seed_option
@count_option("--count", 8, "Images of each prompt.", most=10_000)
@sampling_options
@count_option("--columns", None, "Images in a row (default: --count).")
@click.option("--single", is_flag=True, help="One PNG an image in a new folder, not a grid.")
@count_option("--zoom", 1, "Show every pixel so many times larger.", most=32)
@path_option(
    "--output", help="A new .png file, or a new folder with --single.  [default: sample.png or samples]"
)
@device_option
@threads_option
@json_option
def command(output: Path | None, as_json: bool, **options: Any) -> None:
    """Make COUNT images of each PROMPT; without one, of all that the pipeline was trained with.

    A pipeline of classes takes their names or numbers for prompts, an unconditional one takes none.

    \b
      nas diffusion sample "a photo of a ship" "a photo of a horse"
      nas diffusion sample --pipeline runs/mine --steps 10 --single --output images

    The same seeds are used for every prompt.
    """
    output = output or Path("samples" if options["single"] else "sample.png")
    with shown_progress(announces=False) as progress:
        found = pipelines.sample_images(output=output, progress=progress, **options)
    emit_result(found, as_json)
