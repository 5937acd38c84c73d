"""`nas diffusion compare`: pipelines side by side, as one picture and one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import evaluation
from nas.cli.commands import (
    count_option,
    emit_result,
    json_option,
    path_option,
    runtime_option,
    seed_option,
    shown_progress,
    threads_option,
)
from nas.errors import NasError


@click.command()
@click.argument("what", metavar="A B ...", nargs=-1, required=True)
@click.option("--prompt", "prompts", multiple=True, help="May be repeated.  [default: those of the first]")
@count_option("--images", 16, "Images of each, prompts in turn.", most=100_000)  # fmt: skip
@count_option("--shown", 8, "How many of them the picture shows.", most=64)  # fmt: skip
@seed_option
@count_option("--steps", None, "Of pipelines that were not exported.")
@click.option(
    "--guidance", type=click.FloatRange(0, 100), default=None, help="Of pipelines that were not exported."
)
@click.option("--ladder", is_flag=True, help="Of a run, show its answers at other budgets too.")
@click.option("--no-measure", is_flag=True, help="Measure neither time nor memory now.")
@path_option("--output", help="A new .png file.", default="compare.png")  # fmt: skip
@click.option(
    "--single", type=click.Path(path_type=Path), default=None, metavar="FOLDER",
    help="Also write every image as a PNG of its own into this new folder.",
)  # fmt: skip
@runtime_option
@threads_option
@json_option
def command(what: tuple[str, ...], no_measure: bool, as_json: bool, **options: Any) -> None:
    """Compare pipelines at the same prompts and seeds: A is a pipeline's name or folder, a run, or an exported folder.

    \b
      nas diffusion compare tiny-sd-cifar10 runs/fast-export
      nas diffusion compare tiny-sd-cifar10 tiny-sd-cifar10@steps=8 tiny-sd-cifar10@steps=8,guidance=3

    Exported pipelines and runs sample as they say; others as they say too, or as @steps=N,guidance=G after the name or
    --steps and --guidance tell. Images are compared with the first's. Time and memory are those of a process of its own
    that runs an image's programs.
    """
    with shown_progress(announces=False) as progress:
        found = evaluation.compare_pipelines(what, measured=not no_measure, progress=progress, **options)
    emit_result(found, as_json)
    if failed := found.failures:
        raise NasError(
            f"{len(failed)} of {len(found.rows)} pipelines failed: {failed[0].name}: {failed[0].failure}"
        )
