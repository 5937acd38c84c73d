"""`nas measure`: measure many subnets' quality into the model's table."""

from __future__ import annotations

from typing import Any

import click

from nas import api, models
from nas.cli.data import data_options, given_data
from nas.cli.options import count_option, json_option, seed_option
from nas.cli.output import emit_result, shown_progress


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=False)
@count_option("--count", 700, "Subnets in the table.", least=10)
@count_option("--held-out", 100, "Subnets that only judge predictors.", least=0)
@click.option(
    "--near-front",
    type=click.IntRange(min=0),
    default=None,
    show_default="half for models of several programs, else none",
    help="Of these, so many are looked for where the rest predict the Pareto front.",
)
@click.option(
    "--quality",
    "qualities",
    multiple=True,
    metavar="NAME",
    help="What is measured, such as top1 or psnr; give it once for each. Default: all that the data allow.",
)
@click.option(
    "--real-calibration", is_flag=True, help="Recalibrate on real training images, not the model's own."
)
@count_option("--jobs", None, "Processes side by side. Default: one a core.")
@seed_option
@json_option
def command(
    model: str,
    count: int,
    held_out: int,
    near_front: int | None,
    qualities: tuple[str, ...],
    real_calibration: bool,
    jobs: int | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the quality of many subnets of MODEL on validation images and write subnets.csv into its folder.

    \b
      nas measure runs/digits/model --data digits

    The table is what a search without data ranks subnets by. A stopped measurement goes on where it was.
    """
    data = given_data(options)
    with shown_progress(announces=False) as progress:
        found = api.Model.of(models.load_model(model)).measure(
            data, count=count, held_out=held_out, near_front=near_front, qualities=qualities,
            real_calibration=real_calibration, jobs=jobs, seed=seed, progress=progress,
        )  # fmt: skip
    emit_result(found, as_json)
