"""`nas gan compress`: train an image-to-image generator and the supernet that takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import json_option, read_settings
from nas.cli._output import emit_json


def _complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from gan_compress.translation.train import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@click.command()
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    required=True,
    shell_complete=_complete_recipe,
    help="deblur-teacher, deblur-compress, ..., or a TOML file.",
)
@data_options(required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option(
    "--start",
    metavar="RUN|MODEL",
    default=None,
    help="Stage 'compress': the teacher's run, or its model, such as an imported one.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --output from its last checkpoint.")
@click.option("--steps", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=1), default=None)
@click.option("--seed", type=click.IntRange(min=0), default=None)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting of the recipe, as TOML."
)
@click.option("--device", metavar="cpu|cuda|cuda:N", default=None, help="Default: CUDA where there is any.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Default: all cores.")
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs into the run's folder.")
@json_option
def command(
    recipe: str,
    output: Path,
    start: str | None,
    resume: bool,
    settings: tuple[str, ...],
    device: str | None,
    threads: int | None,
    tensorboard: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train an image-to-image generator (a teacher), then a supernet of small ones beside it.

    \b
      nas gan compress --recipe deblur-teacher --data cifar10 --output runs/teacher
      nas gan compress --recipe deblur-compress --data cifar10 --start runs/teacher --output runs/deblur

    Inputs are made of the data's pictures, as the recipe's `pairs` says: blur, grey or small; or they are the pictures
    themselves (same), for a teacher of any other task. The run's folder gets
    checkpoint.pt, log.csv, pictures of samples every few steps (input, teacher, largest, smallest, truth) and, at the
    end, the folder `model`, which every other command takes as --model. A stopped or killed run goes on with --resume.
    """
    from gan_compress.translation.train import load_recipe, train
    from nas._files import read_json

    data = opened(options)
    names = ("steps", "batch_size", "seed")
    given = {name: options[name] for name in names if options[name] is not None}
    chosen = load_recipe(recipe).replaced(**read_settings(settings, "--set"), **given)
    folder = train(
        chosen,
        data,
        output,
        start=start,
        resume=resume,
        device=device,
        threads=threads,
        tensorboard=tensorboard,
    )
    if as_json:
        info = read_json(folder / "supernet.json")["info"]
        emit_json({"model": str(folder), "run_dir": str(output), "info": info})
    else:
        click.echo(str(folder))
