"""`nas gan edit`: give images more or less of a label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

import gan_compress
from gan_compress import stylegan2
from gan_compress.cli._options import (
    MOVING,
    class_option,
    fps_option,
    model_option,
    open_model,
    output_option,
    say,
    seeds_option,
    subnets_option,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import emit_json, json_option
from nas.errors import UsageError
from nas.pictures import check_output, grid

if TYPE_CHECKING:
    from torch import Tensor

    from nas.models import Model


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
@click.option(
    "--directions", "file", type=click.Path(path_type=Path), default=None, help="Directions in another file."
)
@model_option
@subnets_option
@seeds_option
@class_option
@truncation_option
@fps_option
@zoom_option
@output_option("A new file: .png is a strip, .gif and .apng move.", "edit.png")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    projection: Path | None,
    direction: str,
    amounts: tuple[float, ...],
    file: Path | None,
    model: str | None,
    subnets: tuple[str, ...],
    seeds: tuple[int, ...],
    label: str | None,
    truncation: float,
    fps: float,
    zoom: int,
    output: Path,
    as_json: bool,
) -> None:
    """Move the image of a seed, or of a projected picture, towards a label: a column an amount, a row a subnet.

    \b
      nas gan edit --seed 3 --class 7 --direction 9 --subnet largest --subnet 0.25
      nas gan edit face-projected.safetensors --direction smile --amount 1.5
    """

    check_output(output, MOVING)
    if projection is not None:
        given = [name for name in ("seeds", "label", "truncation") if _is_given(ctx, name)]
        if given:
            raise UsageError(
                f"{projection} is a projected picture, but --{_OPTIONS[given[0]]} was given too; give one of them"
            )
        model = model or stylegan2.model_of(projection)
    names = subnets or ("largest",)
    loaded, found = open_model(model, names)
    directions = stylegan2.Directions.load(loaded, file)
    row = directions.index(direction)
    styles = _styles(loaded, projection, seeds or (0,), label, truncation)
    networks = [stylegan2.load_generator(loaded, subnet) for subnet in found.values()]
    size = stylegan2.generator_family(loaded).resolution
    frames = []
    for amount in amounts:
        moved = directions.apply(styles, direction, amount)
        made = [
            stylegan2.to_pixels(loaded, stylegan2.synthesize(network, moved), size) for network in networks
        ]
        column = [picture for of_style in zip(*made, strict=True) for picture in of_style]
        frames.append(grid(column, 1, zoom=zoom))
    gan_compress.write_frames(output, frames, frames_per_second=fps)
    answer = {
        "output": output,
        "model": loaded.name,
        "subnets": {name: each.to_dict() for name, each in found.items()},
        "direction": direction,
        "fit": float(directions.fits[row]),
        "amounts": amounts,
        "projection": projection,
        "seeds": None if projection is not None else seeds or (0,),
    }
    if as_json:
        emit_json(answer)
        return
    say(
        f"wrote {output}: {direction} by {', '.join(f'{amount:+g}' for amount in amounts)} standard deviations"
    )
    say(f"rows: {', '.join(names)}; the direction's fit is R² {answer['fit']:.2f}")


_OPTIONS = {"seeds": "seed", "label": "class", "truncation": "truncation"}


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _styles(
    model: Model, projection: Path | None, seeds: tuple[int, ...], label: str | None, truncation: float
) -> Tensor:

    if projection is not None:
        return stylegan2.Projection.load(projection, model).styles
    chosen = None if label is None else stylegan2.class_index(model, label)
    network = stylegan2.load_generator(model, model.space.largest())
    return stylegan2.styles(network, stylegan2.latents(model, seeds, [chosen] * len(seeds)), truncation)
