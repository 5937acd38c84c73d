"""`nas gan compress`: train an image-to-image generator and the supernet that takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress.pix2pix import training
from nas import api
from nas.cli.commands import (
    data_options,
    given_data,
    machine_options,
    output_option,
    overrides,
    recipe_option,
    resume_option,
    shown_progress,
    tell_model,
)


def _recipes() -> list[str]:

    return training.recipe_names()


@click.command()
@recipe_option(_recipes, "deblur-teacher, deblur-compress, ..., or a TOML file.")
@data_options(required=True)
@output_option
@click.option(
    "--start",
    metavar="RUN|MODEL",
    default=None,
    help="Stage 'compress': the teacher's run, or its model, such as an imported one.",
)
@resume_option
@click.option("--steps", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=1), default=None)
@click.option("--seed", type=click.IntRange(min=0), default=None)
@machine_options
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
    changes = overrides(settings, options, ("steps", "batch_size", "seed"))
    with shown_progress() as progress:
        found = api.train_model(
            recipe, given_data(options), output, task="translation", start=start, changes=changes, resume=resume,
            device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip
    tell_model(found, as_json)
