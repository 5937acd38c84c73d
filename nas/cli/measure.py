"""`nas measure`: measure many subnets' accuracy into the model's table."""

from __future__ import annotations

from typing import Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import json_option, seed_option
from nas.cli._output import emit_json, progress_bar, result_console


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=True)
@click.option(
    "--count", type=click.IntRange(min=10), default=700, show_default=True, help="Subnets in the table."
)
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Subnets that only judge predictors.",
)
@click.option(
    "--real-calibration", is_flag=True, help="Recalibrate on real training images, not the model's own."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Processes side by side. Default: one a core."
)
@seed_option
@json_option
def command(
    model: str,
    count: int,
    held_out: int,
    real_calibration: bool,
    jobs: int | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the validation top-1 of many subnets of MODEL and write subnets.csv into its folder.

    The table is what a search without data ranks subnets by. A stopped measurement goes on where it was.
    """
    import torch

    from nas.families import bind_table, load_model
    from nas.latency.workload import available_cores
    from nas.search.quality import judge_predictor
    from nas.train.evaluate import pictures, require_classes
    from nas.train.measure import choose_subnets, measure_table

    loaded = load_model(model)
    data = opened(options)
    require_classes(data, loaded.classes)
    size = loaded.image_size
    images, labels = pictures(data, "val", size)
    real = pictures(data, "train", size, 2048)[0] if real_calibration else None
    codes, split = choose_subnets(loaded, count, held_out, seed)
    path = loaded.path / "subnets.csv"
    if jobs is None:
        jobs = 1 if torch.cuda.is_available() else available_cores()
    bind_table(loaded.path, own_calibration=not real_calibration)
    with progress_bar("measuring subnets") as advance:
        table = measure_table(
            loaded, codes, split, images, labels, path=path, calibration=real, jobs=jobs, progress=advance
        )
    answer = {
        "table": str(path),
        "subnets": len(table),
        "lowest": float(table.top1.min()),
        "highest": float(table.top1.max()),
        "predictor": judge_predictor(load_model(loaded.path)) if held_out >= 10 else None,
    }
    if as_json:
        emit_json(answer)
        return
    console = result_console()
    console.print(
        f"{len(table)} subnets, top-1 {answer['lowest']:.2f}% to {answer['highest']:.2f}%, in {path}"
    )
    if judged := answer["predictor"]:
        console.print(
            f"accuracy predictor on {judged['n']} held-out subnets: Kendall's τ {judged['kendall']:.3f}, "
            f"mean error {judged['mean_abs']:.2f} points"
        )
