"""`nas gan directions`: find the directions of labels in style space, or list them."""

from __future__ import annotations

from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, seed_option
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
@data_options(required=False)
@count_option("--limit", 5000, "Labelled images to learn from.", least=2)
@count_option("--samples", 2000, "Images to generate and score.", least=50)
@seed_option
@path_option(
    "--output", help="A new .safetensors file.  [default: directions.safetensors in the model's folder]"
)
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Find for every label of --data the direction in style space that gives images more of it; list without --data.

    A classifier of the labels scores generated images; the linear model from style to score gives the direction. Its
    fit is R² on images it has not seen: near 0, the generator does not vary in what the label names.
    """
    data = given_data(options)
    with shown_progress(announces=False) as progress:
        found = stylegan2.label_directions(data=data, progress=progress, **options)
    emit_result(found, as_json)
