"""`nas gan compress`: train an image-to-image generator and the supernet that takes its place."""

from __future__ import annotations

from gan_compress.pix2pix import training
from nas.cli.commands import batch_size_option, recipe_seed_option, steps_option, training_command

command = training_command(
    """Train an image-to-image generator (a teacher), then a supernet of small ones beside it.

\b
  nas gan compress --recipe deblur-teacher --data cifar10 --output runs/teacher
  nas gan compress --recipe deblur-compress --data cifar10 --start runs/teacher --output runs/deblur

Inputs are made of the data's pictures, as the recipe's `pairs` says: blur, grey or small; or they are the pictures
themselves (same), for a teacher of any other task. The run's folder gets
checkpoint.pt, log.csv, pictures of samples every few steps (input, teacher, largest, smallest, truth) and, at the
end, the folder `model`, which every other command takes as --model. A stopped or killed run goes on with --resume.
""",
    lambda: training.recipe_names(),
    "deblur-teacher, deblur-compress, ..., or a TOML file.",
    {"steps": steps_option, "batch_size": batch_size_option(), "seed": recipe_seed_option},
    start="RUN|MODEL: Stage 'compress': the teacher's run, or its model, such as an imported one.",
    task="translation",
)
