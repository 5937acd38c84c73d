"""`nas gan project`: find the style of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, seed_option, subnets_option
from nas.cli.commands import count_option, emit_result, json_option, path_option, shown_progress


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@model_option
@subnets_option
@click.option(
    "--class", "label", metavar="CLASS", default=None, help="The class to start in (default: the nearest)."
)
@seed_option
@count_option("--steps", 150, "Steps of Adam.", least=0)
@count_option("--polish", 20, "Steps of L-BFGS after it.", least=0)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=0.1,
    show_default=True,
    help="Adam's learning rate.",
)
@click.option(
    "--pixel-weight",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="What the squared pixel error counts against the feature distance.",
)
@click.option(
    "--per-layer", is_flag=True, help="A style for each layer: nearer to the picture, harder to edit."
)
@path_option(
    "--output",
    help="A new .safetensors file; a .png beside it compares.  [default: IMAGE-projected.safetensors]",
)
@json_option
def command(
    image: Path,
    output: Path | None,
    steps: int,
    polish: int,
    rate: float,
    pixel_weight: float,
    per_layer: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the style that gives IMAGE, by the full generator and by each given subnet, for `nas gan edit`.

    Of IMAGE the middle square is taken. Without --class the search starts in the class that comes nearest.

    \b
      nas gan project face.png --subnet 0.5 --subnet 0.25
      nas gan edit face-projected.safetensors --direction smile
    """
    settings = stylegan2.ProjectionSettings(steps, polish, rate, pixel_weight, per_layer)
    output = output or Path(f"{image.stem}-projected.safetensors")
    with shown_progress(announces=False) as progress:
        found = stylegan2.project_picture(
            image, output=output, settings=settings, progress=progress, **options
        )
    emit_result(found, as_json)
