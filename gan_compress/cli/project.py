"""`nas gan project`: find the style of a picture."""

from __future__ import annotations

from pathlib import Path

import click

import gan_compress
from gan_compress import stylegan2
from gan_compress.cli._options import (
    model_option,
    open_model,
    output_option,
    say,
    seed_option,
    subnets_option,
)
from nas.api.tables import plain_table
from nas.cli.commands import emit_json, json_option, progress_bar, result_console
from nas.files import replacing
from nas.pictures import check_output, grid, write_png

SUFFIX = ".safetensors"


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@model_option
@subnets_option
@click.option(
    "--class", "label", metavar="CLASS", default=None, help="The class to start in (default: the nearest)."
)
@seed_option
@click.option("--steps", type=click.IntRange(min=0), default=150, show_default=True, help="Steps of Adam.")
@click.option(
    "--polish", type=click.IntRange(min=0), default=20, show_default=True, help="Steps of L-BFGS after it."
)
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
@output_option("A new .safetensors file; a .png beside it compares.  [default: IMAGE-projected.safetensors]")
@json_option
def command(
    image: Path,
    model: str | None,
    subnets: tuple[str, ...],
    label: str | None,
    seed: int,
    steps: int,
    polish: int,
    rate: float,
    pixel_weight: float,
    per_layer: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Find the style that gives IMAGE, by the full generator and by each given subnet, for `nas gan edit`.

    Of IMAGE the middle square is taken. Without --class the search starts in the class that comes nearest.

    \b
      nas gan project face.png --subnet 0.5 --subnet 0.25
      nas gan edit face-projected.safetensors --direction smile
    """
    import torch

    output = output or Path(f"{image.stem}-projected{SUFFIX}")
    contact_sheet = output.with_suffix(".png")
    check_output(output, (SUFFIX,))
    check_output(contact_sheet)
    loaded, found = open_model(model, subnets)
    size = stylegan2.generator_family(loaded).resolution
    picture = gan_compress.read_picture(image, size)
    chosen = None if label is None else stylegan2.class_index(loaded, label)
    settings = stylegan2.ProjectionSettings(steps, polish, rate, pixel_weight, per_layer)
    with progress_bar("projecting") as advance:
        result = stylegan2.project(
            loaded, picture, found, label=chosen, seed=seed, settings=settings, progress=advance
        )
    networks = [
        stylegan2.load_generator(loaded, subnet) for subnet in (loaded.space.largest(), *found.values())
    ]
    shown = [
        stylegan2.to_pixels(loaded, stylegan2.synthesize(network, result.styles), size)[0]
        for network in networks
    ]
    target = (picture[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    with replacing(contact_sheet) as beside:  # both files or none
        write_png(beside, grid([target, *shown], len(shown) + 1))
        result.save(output)
    if as_json:
        fits = [vars(fit) for fit in result.fits]
        emit_json({"output": output, "picture": contact_sheet, "image": image, **result.info, "fits": fits})
        return

    rows = [[fit.network, f"{fit.distance:.4f}", f"{fit.pixel_error:.4f}"] for fit in result.fits]
    columns = ("generator", f"distance ({result.info['features']} features)", "pixel error")
    result_console().print(plain_table(columns, rows))
    if result.info["class"] is not None:
        say(f"started in class {result.info['class']}")
    say(f"wrote {output}, and {contact_sheet}: the picture, then each generator's image")
