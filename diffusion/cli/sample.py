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
from nas.cli.commands import emit_result, json_option, shown_progress


@click.command()
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@pipeline_option
@seed_option
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Images of each prompt."
)
@sampling_options
@click.option(
    "--columns", type=click.IntRange(min=1), default=None, help="Images in a row (default: --count)."
)
@click.option("--single", is_flag=True, help="One PNG an image in a new folder, not a grid.")
@click.option(
    "--zoom",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Show every pixel so many times larger.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="A new .png file, or a new folder with --single.  [default: sample.png or samples]",
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
