"""`nas gan translate`: apply an image-to-image generator to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress import pix2pix
from gan_compress.cli._options import subnets_option, zoom_option
from nas.cli.commands import (
    count_option,
    emit_result,
    json_option,
    named_model_option,
    path_option,
    runtime_option,
    shown_progress,
    threads_option,
)

_DEFAULT = "deblur-cifar10"


@click.command()
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@named_model_option(f"The generator (default: the run's, or {_DEFAULT}).")  # fmt: skip
@subnets_option
@click.option(
    "--pairs",
    metavar="NAME",
    default=None,
    help="First make an input of IMAGE: blur, grey, small, or auto: what the model was trained for.",
)
@count_option("--size", None, "Pixels of the longer side (default: as it is).", least=16)
@click.option("--no-measure", is_flag=True, help="Measure no latency.")
@runtime_option
@threads_option
@zoom_option
@path_option(
    "-o",
    "--output",
    help="A new .png file: the picture, or a sheet of several. Or a new folder: every picture by itself.",
    default="translated.png",
)
@json_option
def command(
    images: tuple[Path, ...],
    subnets: tuple[str, ...],
    no_measure: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Apply a generator, or some of its subnets, to each IMAGE.

    With --pairs the input is made of IMAGE, which is then the true picture: a sheet shows input, output and truth.
    SUBNET is 'largest', 'smallest', a configuration such as 8_8_16_8_8_8_8_8, the folder of a run or a subnet.json.

    \b
      nas gan translate blurred.jpg -o sharp.png
      nas gan translate cat.png --pairs auto --subnet largest --subnet smallest --size 64 --zoom 4
    """
    with shown_progress(announces=False) as progress:
        found = pix2pix.translate_pictures(
            images, subnets=subnets or ("largest",), measured=not no_measure, progress=progress, **options
        )
    emit_result(found, as_json)
