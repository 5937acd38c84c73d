"""`nas gan train`: train a generator, one stage of a recipe at a time."""

from __future__ import annotations

from gan_compress.stylegan2 import training
from nas.cli.commands import batch_size_option, recipe_seed_option, steps_option, training_command

command = training_command(
    """Train a generator from scratch, or make every subnet of a trained one work.

\b
  nas gan train --recipe digits --data digits --output runs/digits
  nas gan train --recipe digits-elastic --data digits --start runs/digits --output runs/elastic
  nas gan train --recipe digits-distil --start runs/digits --output runs/distil   (needs no images)

The run's folder gets checkpoint.pt, log.csv, a grid of samples every few steps and, at the end, the folder `model`,
which every other command takes as --model. A stopped or killed run goes on with --resume.
""",
    lambda: training.recipe_names(),
    "digits, digits-elastic, cifar10-cpu, ..., or a TOML file.",
    {"steps": steps_option, "batch_size": batch_size_option(2), "seed": recipe_seed_option},
    start="RUN|MODEL: The earlier stage's run, or a model: stages with a teacher need one.",
    task="generation",
    needs_data=False,
)
