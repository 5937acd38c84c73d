"""`nas train`: train a supernet from a recipe."""

from __future__ import annotations

import click

from nas import train
from nas.cli.options import count_option
from nas.cli.training import batch_size_option, lr_option, recipe_seed_option, training_command

command = training_command(
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
""",
    lambda: [*train.recipe_names(), *train.distillation_names()],
    "digits, cifar10-cpu, cifar10-gpu, ..., or a TOML file.",
    {
        "name": click.option("--name", default=None, help="The trained model's name."),
        "method": click.option("--method", type=click.Choice(["sandwich", "progressive"]), default=None),
        "epochs": click.option("--epochs", type=click.IntRange(min=1), default=None),
        "batch_size": batch_size_option(2),
        "lr": lr_option,
        "random_subnets": count_option("--random-subnets", None, "Random subnets in a step.", least=0),
        "seed": recipe_seed_option,
        "precision": click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default=None),
    },
    start="NAME|PATH: A model whose weights are gone on from; not read with --resume.",
    answer=lambda found: {
        "model": str(found.folder),
        "run_dir": str(found.run_dir),
        **{name: found.info[name] for name in ("val", "test")},
    },
)
