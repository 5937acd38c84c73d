"""`nas gan directions`: find the directions of labels in style space, or list them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, open_model, output_option, say, seed_option
from nas.api.tables import plain_table
from nas.cli.commands import data_options, emit_json, json_option, opened, progress_bar, result_console
from nas.errors import UsageError
from nas.pictures import check_output

if TYPE_CHECKING:
    from gan_compress.stylegan2.edit import Directions
    from nas.models import Model


@click.command()
@model_option
@data_options(required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=2),
    default=5000,
    show_default=True,
    help="Labelled images to learn from.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=50),
    default=2000,
    show_default=True,
    help="Images to generate and score.",
)
@seed_option
@output_option("A new .safetensors file.  [default: directions.safetensors in the model's folder]")
@json_option
def command(
    model: str | None,
    limit: int,
    samples: int,
    seed: int,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find for every label of --data the direction in style space that gives images more of it; list without --data.

    A classifier of the labels scores generated images; the linear model from style to score gives the direction. Its
    fit is R² on images it has not seen: near 0, the generator does not vary in what the label names.
    """
    from nas.data.images import real_images

    loaded, _ = open_model(model, ())
    if options["data"] is None:
        if output is not None:
            raise UsageError(
                f"--output {output} was given without data to find directions from; name some with --data"
            )
        _show(loaded, stylegan2.Directions.load(loaded), None, as_json)
        return
    path = output or loaded.path / stylegan2.FILE
    check_output(path, (".safetensors",))
    data = opened(options)
    real = real_images(data, stylegan2.resolution_of(loaded), limit=limit)
    with progress_bar("scoring") as advance:
        found = stylegan2.find_directions(
            loaded,
            real.pixels,
            real.labels,
            data.classes,
            samples=samples,
            seed=seed,
            data=data.name,
            progress=advance,
        )
    found.save(path)
    _show(loaded, found, path, as_json)


def _show(model: Model, found: Directions, written: Path | None, as_json: bool) -> None:
    rows = [*zip(found.labels, found.scales.tolist(), found.fits.tolist(), strict=True)]
    if as_json:
        listed = [{"label": label, "scale": scale, "fit": fit} for label, scale, fit in rows]
        emit_json({"output": written, "model": model.name, **found.info, "directions": listed})
        return

    cells = [[label, f"{scale:.3f}", f"{fit:.2f}"] for label, scale, fit in rows]
    result_console().print(plain_table(("direction", "step", "fit (R²)"), cells))
    say(f"from {found.info['images']} images of {found.info['data']}, {found.info['features']} features")
    if written is not None:
        say(f"wrote {written}")
