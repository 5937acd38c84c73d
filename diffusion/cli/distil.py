"""`nas diffusion distill`: make every subnet of a pipeline's UNet work, or recover one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion.cli._options import caption_option
from diffusion.pipeline.files.folder import read_info
from diffusion.training import distil as distillation
from nas import api, train
from nas.cli.commands import (
    data_options,
    emit_json,
    given_data,
    machine_options,
    output_option,
    overrides,
    recipe_option,
    resume_option,
    shown_progress,
)


def _recipes() -> list[str]:

    return distillation.recipe_names()


@click.command()
@recipe_option(_recipes, "cifar10-elastic, bk-sdm, lora, or a TOML file.")
@data_options(required=True)
@caption_option
@output_option
@click.option(
    "--start", metavar="NAME|PATH|ID", default=None, help="The trained pipeline; not read with --resume."
)
@resume_option
@click.option(
    "--subnet",
    metavar="NAME|JSON|PATH",
    default=None,
    help="Train this one alone: half, bk-sdm-base, ..., choices as JSON, or a pruned pipeline.",
)
@click.option(
    "--lora",
    "lora_rank",
    metavar="RANK",
    type=click.IntRange(min=0),
    default=None,
    help="Train low-rank adapters of --subnet, and merge them at the end; 0: its weights.",
)
@click.option("--steps", type=click.IntRange(min=1), default=None)
@click.option("--batch-size", type=click.IntRange(min=1), default=None)
@click.option("--lr", type=float, default=None, help="Peak learning rate.")
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
    """Train every subnet of a pipeline's UNet at once, or one of them, with the frozen original as teacher.

    \b
      nas diffusion distill --recipe cifar10-elastic --start runs/sd --data torchvision:CIFAR10 --output runs/elastic
      nas diffusion distill --recipe bk-sdm --start sd15 --subnet bk-sdm-small --data laion --output runs/small
      nas diffusion distill --recipe lora --start sd15 --subnet pruned --data laion --output runs/recovered
      torchrun --nproc-per-node 4 -m nas diffusion distill ...

    With --subnet one subnet alone is trained, and becomes a pipeline of its size: from a folder that `nas diffusion
    prune` wrote with the weights there, else with what matters most of the original. With --lora only adapters are
    trained (kept beside it in `adapters`), which takes far less memory. --start names the original in all cases.

    The run's folder gets a copy of the original, checkpoint.pt, log.csv, a grid of samples (largest, half, narrowest
    subnet; or original and subnet) every few steps and, at the end, the folder `model`. A stopped or killed run goes on
    with --resume. Several processes share each batch of batch_size images equally, so that they end where one would.
    """
    data = {**(given_data(options) or {}), "caption_column": options.pop("caption_column")}
    changes = overrides(settings, options, ("steps", "batch_size", "lr", "seed", "subnet", "lora_rank"))
    with shown_progress() as progress:
        found = api.train_model(
            recipe, data, output, task="diffusion", kind="distil", start=start, changes=changes, resume=resume,
            device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip
    if not train.is_main_process():
        return
    if as_json:
        emit_json({**found.to_dict(), "info": read_info(found.folder)})
    else:
        click.echo(str(found.folder))
