"""`nas calibrate`: distil a model's calibration images anew, or report what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from nas import api, models
from nas.cli.data import data_options, given_data
from nas.cli.options import count_option, json_option, seed_option
from nas.cli.output import emit_json, result_console, shown_progress


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=True)
@count_option("--steps", 600, "Distilling steps.")
@count_option("--images", 256, "Images to distil.", least=2)
@count_option("--report", None, "Only compare statistics on N random subnets.")
@click.option("--split", type=click.Choice(["val", "test"]), default="val", show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where --report writes its CSV.",
)
@seed_option
@json_option
def command(
    model: str,
    steps: int,
    images: int,
    report: int | None,
    split: Literal["val", "test"],
    output: Path | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Distil synthetic calibration images from MODEL and write them into its folder.

    \b
      nas calibrate runs/digits/model --data digits

    With --report N nothing is distilled: N random subnets' top-1 with the supernet's own (sliced) BatchNorm
    statistics, with those of the model's images and with those of real training images go to --output as CSV.
    """
    if (report is None) != (output is None):
        raise click.UsageError("--report N and --output FILE go together: give both or neither")
    loaded, data = models.load_model(model), api.opened(given_data(options))
    assert data is not None
    with shown_progress(announces=False) as progress:
        if report is None or output is None:
            done = api.calibrate_model(loaded, data, images=images, steps=steps, seed=seed, progress=progress)
            answer, text = done.to_dict(), f"{done.images} calibration images in {done.path}"
        else:
            found = api.compare_model_calibrations(
                loaded, data, report, split=split, seed=seed, progress=progress
            )
            found.write_csv(output)
            answer = {"report": str(output), **found.to_dict()}
            means = ", ".join(f"{name} {value:.2f}%" for name, value in found.mean.items())
            text = f"mean top-1 of {report} subnets: {means}; {output}"
    if as_json:
        emit_json(answer)
    else:
        result_console().print(text)
