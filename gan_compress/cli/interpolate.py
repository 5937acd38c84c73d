"""`nas gan interpolate`: from seed to seed or class to class, through style space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import gan_compress
from gan_compress import stylegan2
from gan_compress.cli._options import (
    MOVING,
    fps_option,
    model_option,
    open_model,
    output_option,
    say,
    seeds_option,
    subnet_option,
    subnet_words,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import emit_json, json_option
from nas.errors import UsageError
from nas.pictures import check_output, grid


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
@click.option(
    "--frames",
    type=click.IntRange(1, 1000),
    default=12,
    show_default=True,
    help="Pictures from one to the next.",
)
@click.option("--loop", is_flag=True, help="Go back to the first.")
@fps_option
@zoom_option
@output_option("A new file: .gif and .apng move, .png is a strip.", "interpolate.gif")
@json_option
def command(
    model: str | None,
    subnet: str,
    seeds: tuple[int, ...],
    labels: tuple[str, ...],
    truncation: float,
    frames: int,
    loop: bool,
    fps: float,
    zoom: int,
    output: Path,
    as_json: bool,
) -> None:
    """Move through style space in straight lines: between seeds, between classes, or both at once.

    \b
      nas gan interpolate --seed 1 --seed 2 --seed 3 --class 7 --loop
      nas gan interpolate --seed 1 --class 3 --class 8 --output three-to-eight.png
    """

    check_output(output, MOVING)
    points, names = key_points(seeds, labels)
    loaded, found = open_model(model, [subnet])
    chosen = [None if name is None else stylegan2.class_index(loaded, name) for name in names]
    network = stylegan2.load_generator(loaded, found[subnet])
    ends = stylegan2.styles(network, stylegan2.latents(loaded, points, chosen), truncation)
    pixels = stylegan2.to_pixels(
        loaded, stylegan2.synthesize(network, stylegan2.interpolate(ends, frames, loop=loop))
    )
    gan_compress.write_frames(
        output, [grid(picture[None], zoom=zoom) for picture in pixels], frames_per_second=fps
    )
    if as_json:
        emit_json(
            {
                "output": output,
                "model": loaded.name,
                "subnet": found[subnet].to_dict(),
                "seeds": points,
                "classes": [None if index is None else loaded.classes[index] for index in chosen],
                "truncation": truncation,
                "frames": len(pixels),
            }
        )
        return
    words = subnet_words(loaded, found[subnet])
    say(f"wrote {output}: {len(pixels)} pictures of {loaded.name}, {subnet} ({words})")


def key_points(seeds: Sequence[int], labels: Sequence[str]) -> tuple[list[int], list[str | None]]:
    """Return as many seeds as classes: one of them may stay the same; raises `UsageError` for other numbers."""
    seeds = seeds or ((0,) if len(labels) > 1 else (0, 1))
    count = max(len(seeds), len(labels))
    if count < 2 or len(seeds) not in (1, count) or len(labels) not in (0, 1, count):
        raise UsageError(
            f"{len(seeds)} seeds and {len(labels)} classes were given; give two seeds or two classes or more, and of "
            "the other kind one or as many"
        )
    points = [*seeds] * (count // len(seeds))
    return points, [*labels] * (count // len(labels)) if labels else [None] * count
