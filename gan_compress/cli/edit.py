"""`nas gan edit`: give images more or less of a label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    fps_option,
    model_option,
    seeds_option,
    subnets_option,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import emit_result, json_option, path_option
from nas.errors import UsageError

_OF_SEEDS = {"seeds": "seed", "label": "class", "truncation": "truncation"}


@click.command()
@click.argument("projection", type=click.Path(path_type=Path), required=False)
@click.option(
    "--direction", metavar="LABEL", required=True, help="Which label; 'nas gan directions' lists them."
)
@click.option(
    "--amount",
    "amounts",
    type=click.FloatRange(-20, 20),
    multiple=True,
    default=(-2.0, -1.0, 0.0, 1.0, 2.0),
    show_default=True,
    help="How far, in standard deviations of the label's score; may be given several times.",
)
@path_option("--directions", help="Directions in another file.")
@model_option
@subnets_option
@seeds_option
@class_option
@truncation_option
@fps_option
@zoom_option
@path_option("--output", help="A new file: .png is a strip, .gif and .apng move.", default="edit.png")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    projection: Path | None,
    subnets: tuple[str, ...],
    seeds: tuple[int, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Move the image of a seed, or of a projected picture, towards a label: a column an amount, a row a subnet.

    \b
      nas gan edit --seed 3 --class 7 --direction 9 --subnet largest --subnet 0.25
      nas gan edit face-projected.safetensors --direction smile --amount 1.5
    """
    if projection is not None:
        given = [option for name, option in _OF_SEEDS.items() if _is_given(ctx, name)]
        if given:
            raise UsageError(
                f"{projection} is a projected picture, but --{given[0]} was given too; give one of them"
            )
    found = stylegan2.edit_images(
        projection=projection, subnets=subnets or ("largest",), seeds=seeds or (0,), **options
    )
    emit_result(found, as_json)


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
