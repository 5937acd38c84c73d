"""`nas gan train`: train a generator, one stage of a recipe at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress.stylegan2 import training
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
@recipe_option(_recipes, "digits, digits-elastic, cifar10-cpu, ..., or a TOML file.")
@data_options(required=False)
@output_option
@click.option(
    "--start",
    metavar="RUN|MODEL",
    default=None,
    help="The earlier stage's run, or a model: stages with a teacher need one.",
)
@resume_option
@click.option("--steps", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=2), default=None)
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
    """Train a generator from scratch, or make every subnet of a trained one work.

    \b
      nas gan train --recipe digits --data digits --output runs/digits
      nas gan train --recipe digits-elastic --data digits --start runs/digits --output runs/elastic
      nas gan train --recipe digits-distil --start runs/digits --output runs/distil   (needs no images)

    The run's folder gets checkpoint.pt, log.csv, a grid of samples every few steps and, at the end, the folder `model`,
    which every other command takes as --model. A stopped or killed run goes on with --resume.
    """
    changes = overrides(settings, options, ("steps", "batch_size", "seed"))
    with shown_progress() as progress:
        found = api.train_model(
            recipe, given_data(options), output, task="generation", start=start, changes=changes, resume=resume,
            device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip
    tell_model(found, as_json)
