"""`nas measure`: measure many subnets' quality into the model's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import json_option, seed_option
from nas.cli._output import emit_json, progress_bar, result_console

if TYPE_CHECKING:
    from nas.families import Model, Quality, Task


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=False)
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
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Processes side by side. Default: one a core."
)
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
    import torch

    from nas.families import bind_table, load_model
    from nas.latency.workload import available_cores
    from nas.search.design import Design, measure_design
    from nas.search.scorer import predictor_errors

    loaded = load_model(model)
    data, task = (opened(options) if options["data"] is not None else None), loaded.task
    known = task.qualities_of(loaded)
    chosen = [*known] if data is not None else _without_data(task, known)
    if qualities:
        chosen = _named(loaded, chosen, qualities)
    evaluators = [task.evaluator(loaded, quality, data) for quality in chosen]
    if near_front is None:
        near_front = count // 2 if loaded.family.pass_dimensions else 0
    path = loaded.path / "subnets.csv"
    if jobs is None:
        jobs = 1 if torch.cuda.is_available() else available_cores()
    bind_table(loaded.path, own_calibration=not real_calibration)
    with progress_bar("measuring subnets") as advance:
        table = measure_design(
            loaded,
            evaluators,
            Design(count, held_out, near_front, seed),
            path=path,
            real_calibration=real_calibration,
            jobs=jobs,
            progress=advance,
        )
    fresh = load_model(loaded.path)
    answer = {
        "table": str(path),
        "subnets": len(table),
        "qualities": {
            quality.name: {
                "lowest": float(table.values[quality.name].min()),
                "highest": float(table.values[quality.name].max()),
                "predictor": predictor_errors(fresh, quality) if held_out >= 10 else None,
            }
            for quality in chosen
        },
    }
    if as_json:
        emit_json(answer)
        return
    console = result_console()
    console.print(f"{len(table)} subnets in {path}", markup=False, soft_wrap=True)
    for quality in chosen:
        found = answer["qualities"][quality.name]
        console.print(f"{quality.label} {quality.text(found['lowest'])} to {quality.text(found['highest'])}")
        if judged := found["predictor"]:
            console.print(
                f"its predictor on {judged['n']} held-out subnets: Kendall's τ {judged['kendall']:.3f}, "
                f"mean error {quality.text(judged['mean_abs'])}"
            )


def _named(model: Model, known: Sequence[Quality], names: Sequence[str]) -> list[Quality]:
    """Return the qualities of these names, in the task's order."""
    named = [model.task.quality(name) for name in names]
    if lacking := [quality for quality in named if quality not in known]:
        raise click.UsageError(
            f"{lacking[0].label} cannot be measured here; leave it out, or name images with --data"
        )
    return [quality for quality in known if quality in named]


def _without_data(task: Task, known: Sequence[Quality]) -> list[Quality]:
    chosen = [quality for quality in known if not task.needs_data(quality)]
    if not chosen:
        raise click.UsageError(f"{known[0].label} is measured on images; name some with --data")
    return chosen
