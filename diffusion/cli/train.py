"""`nas diffusion train`: train a text-to-image pipeline from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion.cli._options import caption_option
from diffusion.pipeline.files.folder import read_info
from diffusion.training import text_to_image
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

    return text_to_image.recipe_names()


@click.command()
@recipe_option(_recipes, "cifar10-cpu, ..., or a TOML file.")
@data_options(required=True)
@caption_option
@output_option
@click.option(
    "--start", metavar="NAME|PATH|ID", default=None, help="A pipeline whose weights are gone on from."
)
@resume_option
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
    """Train a pipeline from scratch on images with captions.

    \b
      nas diffusion train --recipe cifar10-cpu --data torchvision:CIFAR10 --download --output runs/sd
      nas diffusion train --recipe cifar10-cpu-second --data torchvision:CIFAR10 --start runs/sd --output runs/sd2
      nas diffusion train --recipe mine.toml --data pictures --output runs/mine
      torchrun --nproc-per-node 4 -m nas diffusion train ...        (or: accelerate launch --multi_gpu -m nas ...)

    A folder with metadata.jsonl (one {"file_name": ..., "text": ...} a line) and parquet files with a column `text` or
    `caption` bring their captions; other data get captions from their class names. The run's folder gets checkpoint.pt,
    log.csv, a grid of samples every few steps and, at the end, the folder `model`, which diffusers loads. A stopped or
    killed run goes on with --resume; while its learning rate is constant it may be given other --steps. Several
    processes share each batch of batch_size images equally, so that they end where one would; where memory is short,
    --set gradient_checkpointing=true.
    """
    data = {**(given_data(options) or {}), "caption_column": options.pop("caption_column")}
    changes = overrides(settings, options, ("steps", "batch_size", "lr", "seed"))
    with shown_progress() as progress:
        found = api.train_model(
            recipe, data, output, task="diffusion", kind="train", start=start, changes=changes, resume=resume,
            device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip
    if not train.is_main_process():
        return
    if as_json:
        emit_json({**found.to_dict(), "info": read_info(found.folder)})
    else:
        click.echo(str(found.folder))
