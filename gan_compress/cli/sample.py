"""`nas gan sample`: images of seeds, as one grid or one file each."""

from __future__ import annotations

from pathlib import Path

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    model_option,
    open_model,
    output_option,
    say,
    seed_option,
    subnet_option,
    subnet_words,
    truncation_option,
    zoom_option,
)
from nas.cli.commands import emit_json, json_option
from nas.files import new_folder
from nas.pictures import check_output, grid, write_png


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
def command(
    model: str | None,
    subnet: str,
    seed: int,
    count: int,
    label: str | None,
    truncation: float,
    columns: int | None,
    single: bool,
    zoom: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make images of COUNT seeds, of one class or of all classes in turn.

    \b
      nas gan sample --class 7 --truncation 0.7
      nas gan sample --subnet 0.5@16 --count 64 --single --output small
    """

    output = output or Path("samples" if single else "sample.png")
    check_output(output, () if single else (".png",))
    loaded, found = open_model(model, [subnet])
    chosen = None if label is None else stylegan2.class_index(loaded, label)
    network = stylegan2.load_generator(loaded, found[subnet])
    seeds = range(seed, seed + count)
    images = stylegan2.synthesize(
        network, stylegan2.styles(network, stylegan2.latents(loaded, seeds, [chosen] * count), truncation)
    )
    pixels = stylegan2.to_pixels(loaded, images)
    if single:
        digits = len(str(seeds[-1]))
        with new_folder(output) as folder:
            for each, picture in zip(seeds, pixels, strict=True):
                write_png(folder / f"seed{each:0{digits}}.png", grid(picture[None], zoom=zoom))
    else:
        write_png(output, grid(pixels, columns, zoom=zoom))
    if as_json:
        emit_json(
            {
                "output": output,
                "model": loaded.name,
                "subnet": found[subnet].to_dict(),
                "seeds": [*seeds],
                "class": None if chosen is None else loaded.classes[chosen],
                "truncation": truncation,
                "size": pixels.shape[1],
            }
        )
        return
    say(f"wrote {output}: {count} images of {loaded.name}, {subnet} ({subnet_words(loaded, found[subnet])})")
