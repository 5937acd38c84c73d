"""`nas train`: train a supernet from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import json_option, read_settings
from nas.cli._output import emit_json


def _complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from nas.train.recipe import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@click.command()
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    required=True,
    shell_complete=_complete_recipe,
    help="digits, cifar10-cpu, cifar10-gpu, ..., or a TOML file.",
)
@data_options(required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option("--resume", is_flag=True, help="Continue the run in --output from its last checkpoint.")
@click.option("--name", default=None, help="The trained model's name.")
@click.option("--method", type=click.Choice(["sandwich", "progressive"]), default=None)
@click.option("--epochs", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=2), default=None)
@click.option("--lr", type=float, default=None, help="Peak learning rate.")
@click.option("--random-subnets", type=click.IntRange(min=0), default=None, help="Random subnets in a step.")
@click.option("--seed", type=click.IntRange(min=0), default=None)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default=None)
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
      torchrun --nproc-per-node 4 -m nas train ...

    The run's folder gets checkpoint.pt, log.csv and, at the end, the folder `model`, which every other command takes
    as --model. A stopped or killed run goes on with --resume.
    """
    from nas._files import read_json
    from nas.train.engine import train
    from nas.train.recipe import load_recipe

    data = opened(options)
    changes = {
        **read_settings(settings, "--set"),
        **{key: value for key, value in options.items() if value is not None},
    }
    chosen = load_recipe(recipe).replaced(**changes)
    folder = train(
        chosen,
        data,
        output,
        resume=resume,
        device=device,
        threads=threads,
        show=True,
        tensorboard=tensorboard,
    )
    if as_json:
        info = read_json(folder / "supernet.json")["info"]
        emit_json({"model": str(folder), "run_dir": str(output), "val": info["val"], "test": info["test"]})
    else:
        click.echo(str(folder))
