"""`nas calibrate`: distil a model's calibration images anew, or report what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nas.cli._data import data_options, opened
from nas.cli._options import json_option, seed_option
from nas.cli._output import emit_json, log, progress_bar, result_console

if TYPE_CHECKING:
    from nas.families import Model
    from nas.train.data import Data

_REAL_IMAGES = 2048


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=True)
@click.option("--steps", type=click.IntRange(min=1), default=600, show_default=True, help="Distilling steps.")
@click.option(
    "--images", type=click.IntRange(min=2), default=256, show_default=True, help="Images to distil."
)
@click.option(
    "--report", type=click.IntRange(min=1), default=None, help="Only compare statistics on N random subnets."
)
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
    from nas.families import load_model
    from nas.train.evaluate import require_classes

    if (report is None) != (output is None):
        raise click.UsageError("--report N and --output FILE go together: give both or neither")
    loaded = load_model(model)
    data = opened(options)
    require_classes(data, loaded.classes)
    if report is None or output is None:
        answer = _distil(loaded, data, steps, images, seed)
        text = f"{answer['images']} calibration images in {answer['calibration']}"
    else:
        answer = _report(loaded, data, report, split, output, seed)
        means = ", ".join(f"{name} {value:.2f}%" for name, value in answer["mean"].items())
        text = f"mean top-1 of {report} subnets: {means}; {output}"
    if as_json:
        emit_json(answer)
    else:
        result_console().print(text)


def _distil(model: Model, data: Data, steps: int, count: int, seed: int) -> dict[str, Any]:
    from nas.families import save_calibration
    from nas.train.distil import distil, with_statistics
    from nas.train.evaluate import pictures

    real, _ = pictures(data, "train", model.image_size, _REAL_IMAGES)
    with progress_bar("distilling") as advance:
        found = distil(
            model.supernet,
            real,
            model.normalize,
            classes=len(model.classes),
            count=count,
            steps=steps,
            seed=seed,
            progress=advance,
        )
    save_calibration(model.path, with_statistics(model.supernet, found, real, model.normalize))
    table = model.path / "subnets.csv"
    if table.exists():
        log(f"{table} was measured with the images before these; remove it and run `nas measure` again")
    return {"calibration": str(model.path / "calibration.npz"), "images": len(found)}


def _report(
    model: Model, data: Data, count: int, split: Literal["val", "test"], output: Path, seed: int
) -> dict[str, Any]:
    import csv
    import io

    import numpy as np

    from nas._errors import UsageError
    from nas._files import write_atomic
    from nas.train.evaluate import compare_calibrations, pictures

    if model.calibration_images() is None:
        raise UsageError(
            f"{model.path} has no calibration images to compare; make some with `nas calibrate` first"
        )
    real, _ = pictures(data, "train", model.image_size, _REAL_IMAGES)
    pixels, labels = pictures(data, split, model.image_size)
    subnets = [
        model.space.from_codes(row) for row in model.space.sample_codes(np.random.default_rng(seed), count)
    ]
    with progress_bar("comparing statistics") as advance:
        rows = compare_calibrations(model, subnets, pixels, labels, real, progress=advance)
    ways = [*rows[0]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subnet", "macs", *ways])
    for index, (subnet, row) in enumerate(zip(subnets, rows, strict=True)):
        macs = model.supernet.count(subnet).macs
        writer.writerow([index, macs, *(f"{row[way]:.2f}" for way in ways)])
    write_atomic(output, text.getvalue())
    means = {way: float(np.mean([row[way] for row in rows])) for way in ways}
    return {"report": str(output), "split": split, "subnets": count, "mean": means}
