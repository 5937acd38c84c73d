"""`nas diffusion train`: train a text-to-image pipeline from a recipe."""

from __future__ import annotations

from diffusion.cli._options import caption_option
from diffusion.pipeline.files.folder import read_info
from diffusion.training import text_to_image
from nas.cli.commands import (
    batch_size_option,
    lr_option,
    recipe_seed_option,
    steps_option,
    training_command,
)

command = training_command(
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
""",
    lambda: text_to_image.recipe_names(),
    "cifar10-cpu, ..., or a TOML file.",
    {"steps": steps_option, "batch_size": batch_size_option(), "lr": lr_option, "seed": recipe_seed_option},
    start="NAME|PATH|ID: A pipeline whose weights are gone on from.",
    task="diffusion",
    kind="train",
    of_data={"caption_column": caption_option},
    answer=lambda found: {**found.to_dict(), "info": read_info(found.folder)},
)
