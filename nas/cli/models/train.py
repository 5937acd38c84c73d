"""`nas train`: train a supernet from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import api, train
from nas.cli.data import data_options, given_data
from nas.cli.output import shown_progress
from nas.cli.training import (
    machine_options,
    output_option,
    overrides,
    recipe_option,
    resume_option,
    tell_model,
)

_CHANGES = ("name", "method", "epochs", "batch_size", "lr", "random_subnets", "seed", "precision")


@click.command()
@recipe_option(
    lambda: [*train.recipe_names(), *train.distillation_names()],
    "digits, cifar10-cpu, cifar10-gpu, ..., or a TOML file.",
)
@data_options(required=True)
@output_option
@resume_option
@click.option(
    "--start",
    metavar="NAME|PATH",
    default=None,
    help="A model whose weights are gone on from; not read with --resume.",
)
@click.option("--name", default=None, help="The trained model's name.")
@click.option("--method", type=click.Choice(["sandwich", "progressive"]), default=None)
@click.option("--epochs", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=2), default=None)
@click.option("--lr", type=float, default=None, help="Peak learning rate.")
@click.option("--random-subnets", type=click.IntRange(min=0), default=None, help="Random subnets in a step.")
@click.option("--seed", type=click.IntRange(min=0), default=None)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default=None)
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
    """Train a supernet: one set of weights whose every subnet works.

    \b
      nas train --recipe digits --data digits --output runs/digits
      nas train --recipe cifar10-gpu --data CIFAR10 --download --output runs/cifar10
      nas train --recipe digits --data photos/ --start mbv3-cifar10 --output runs/photos
      nas train --start models/resnet18 --recipe distil --data photos --output runs/resnet18
      nas train --recipe distil-lite0 --data photos --output runs/lite0
      torchrun --nproc-per-node 4 -m nas train ...

    The run's folder gets checkpoint.pt, log.csv and, at the end, the folder `model`, which every other command takes
    as --model. A stopped or killed run goes on with --resume. By the recipe distil the subnets of a model, such
    as one that `nas adopt` wrote, learn what its full network says: images need no labels. Recipes such as
    distil-lite0 say which network is adopted first.
    """
    with shown_progress() as progress:
        found = api.train_model(
            recipe, given_data(options), output, start=start, changes=overrides(settings, options, _CHANGES),
            resume=resume, device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip
    tell_model(found, as_json, ("val", "test"))
