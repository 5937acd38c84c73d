"""`nas diffusion prune`: make a smaller pipeline of a trained one."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion import compress
from diffusion.cli._options import (
    caption_option,
    captioned_data,
    device_option,
    pipeline_option,
    seed_option,
    threads_option,
)
from diffusion.training import distil as distillation
from nas.api.tables import plain_table
from nas.cli.commands import (
    data_options,
    emit_json,
    json_option,
    progress_bar,
    result_console,
    runtime_option,
)
from nas.latency.runtimes import default_runtime, get_runtime
from nas.latency.units import format_count, format_ms

if TYPE_CHECKING:
    from diffusion.compress import Pruned

_SHOWN = 20


@click.command()
@pipeline_option
@click.option(
    "--subnet",
    metavar="NAME|JSON|PATH",
    default=None,
    help="half, bk-sdm-base, bk-sdm-small, bk-sdm-tiny, smallest; choices as JSON; a pruned pipeline.",
)
@click.option("--macs", metavar="SHARE|COUNT", default=None, help="At most so many a pass: 60% or 200M.")
@click.option("--params", metavar="SHARE|COUNT", default=None, help="At most so many parameters: 50% or 2M.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="The new pipeline's folder.")
@data_options(required=False)
@caption_option
@click.option(
    "--sensitivity", is_flag=True, help="Measure and keep what each choice of each block costs and saves."
)
@click.option("--measure", is_flag=True, help="Measure a pass of the denoiser before and after.")
@runtime_option
@click.option(
    "--images",
    type=click.IntRange(0, 1000),
    default=4,
    show_default=True,
    help="Images compared with the original's; 0: none.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 16),
    default=8,
    show_default=True,
    help="Latents, or images of --data, that importance is found on.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=25,
    show_default=True,
    help="Denoising steps of all images.",
)
@seed_option
@device_option
@threads_option
@json_option
def command(
    pipeline: str,
    output: Path | None,
    sensitivity: bool,
    measure: bool,
    runtime: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    subnet: str | None,
    macs: str | None,
    params: str | None,
    images: int,
    samples: int,
    steps: int,
    seed: int,
    **options: Any,
) -> None:
    """Make one smaller pipeline of a trained one: a subnet of its denoiser, or what a limit leaves room for.

    \b
      nas diffusion prune --macs 60% --output smaller
      nas diffusion prune --pipeline sd15 --subnet bk-sdm-small --output small --measure
      nas diffusion prune --pipeline sd15 --sensitivity          the table alone

    Channels, heads and widths are sorted by importance before they are cut. It is found on images that the pipeline
    makes itself, so that no data is needed; with --data on those. To reach a limit, what costs least for what it saves
    is left out. The folder loads in diffusers, after `import diffusion` where no stock configuration can say the shape.
    Recover the quality with `nas diffusion distill --subnet`.
    """

    config = compress.PruneConfig(
        subnet=subnet, macs=macs, params=params, table=sensitivity, images=images, samples=samples, steps=steps,
        seed=seed,
    )  # fmt: skip
    examples = None
    if options["data"] is not None:
        data, described = captioned_data(options)
        examples = partial(distillation.real_examples, data, described)
    chosen = (get_runtime(runtime) if runtime else default_runtime()) if measure else None
    with progress_bar("prune") as advance:
        done = compress.prune(
            pipeline,
            output,
            config,
            examples=examples,
            runtime=chosen,
            device=device,
            threads=threads,
            tell=lambda what, part, count: advance(part, count, what),
        )
    _tell(done, as_json)


def _tell(done: Pruned, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "pipeline": done.name,
                "path": done.path,
                "subnet": None if done.subnet is None else done.subnet.to_dict(),
                "before": asdict(done.before),
                "after": asdict(done.after),
                "ms": done.ms,
                "psnr_db": done.psnr_db,
                "images": done.images,
                "stock": done.stock,
                "importance": done.examples,
                "sensitivity": [asdict(row) for row in done.rows],
            }
        )
        return
    console = result_console()
    if done.rows:
        console.print(_table(done))
    if done.path is None:
        return
    console.print(_comparison(done))
    loads = "diffusers alone loads it" if done.stock else "diffusers loads it after `import diffusion`"
    psnr = (
        "" if done.psnr_db is None else f"; PSNR to the original {done.psnr_db:.1f} dB ({done.images} images)"
    )
    console.print(f"wrote {done.path}: {loads}{psnr}", soft_wrap=True, markup=False)


def _table(done: Pruned) -> Any:

    rows = [
        (row.dimension, str(row.choice), f"{row.error:.2e}", f"{row.macs:.1%}", f"{row.params:.1%}")
        for row in done.rows[:_SHOWN]
    ]
    table = plain_table(("block", "only", "error", "MACs saved", "parameters saved"), rows)
    more = len(done.rows) - len(rows)
    table.caption = f"most harmful first, one choice at a time{f'; {more} more' if more > 0 else ''}"
    return table


def _comparison(done: Pruned) -> Any:

    before, after = done.before, done.after
    rows = [
        (
            "parameters",
            format_count(before.params),
            format_count(after.params),
            _share(before.params, after.params),
        ),
        ("MACs a pass", format_count(before.macs), format_count(after.macs), _share(before.macs, after.macs)),
    ]
    if done.ms is not None:
        rows.append(("latency a pass", format_ms(done.ms[0]), format_ms(done.ms[1]), _share(*done.ms)))
    return plain_table((done.name, "before", "after", "share"), rows)


def _share(before: float, after: float) -> str:
    return f"{after / before:.1%}"
