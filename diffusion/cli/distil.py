"""`nas diffusion distill`: make every subnet of a pipeline's UNet work, or recover one."""

from __future__ import annotations

import click

from diffusion.cli._options import caption_option
from diffusion.pipeline.files.folder import read_info
from diffusion.training import distil
from nas.cli.commands import (
    batch_size_option,
    lr_option,
    recipe_seed_option,
    steps_option,
    training_command,
)

command = training_command(
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
""",
    lambda: distil.recipe_names(),
    "cifar10-elastic, bk-sdm, lora, or a TOML file.",
    {
        "subnet": click.option(
            "--subnet",
            metavar="NAME|JSON|PATH",
            default=None,
            help="Train this one alone: half, bk-sdm-base, ..., choices as JSON, or a pruned pipeline.",
        ),
        "lora_rank": click.option(
            "--lora",
            "lora_rank",
            metavar="RANK",
            type=click.IntRange(min=0),
            default=None,
            help="Train low-rank adapters of --subnet, and merge them at the end; 0: its weights.",
        ),
        "steps": steps_option,
        "batch_size": batch_size_option(),
        "lr": lr_option,
        "seed": recipe_seed_option,
    },
    start="NAME|PATH|ID: The trained pipeline; not read with --resume.",
    task="diffusion",
    kind="distil",
    of_data={"caption_column": caption_option},
    answer=lambda found: {**found.to_dict(), "info": read_info(found.folder)},
)
