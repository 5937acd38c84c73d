"""`nas diffusion prune`: make a smaller pipeline of a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import compress
from diffusion.cli._options import (
    caption_option,
    device_option,
    pipeline_option,
    seed_option,
    threads_option,
)
from nas.cli.commands import (
    count_option,
    data_options,
    emit_result,
    given_data,
    json_option,
    path_option,
    runtime_option,
    shown_progress,
)


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
@path_option("--output", help="The new pipeline's folder.")
@data_options(required=False)
@caption_option
@click.option(
    "--sensitivity", is_flag=True, help="Measure and keep what each choice of each block costs and saves."
)
@click.option("--measure", is_flag=True, help="Measure a pass of the denoiser before and after.")
@runtime_option
@count_option("--images", 4, "Images compared with the original's; 0: none.", least=0, most=1000)
@count_option("--samples", 8, "Latents, or images of --data, that importance is found on.", most=16)
@count_option("--steps", 25, "Denoising steps of all images.")
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
    data = given_data(options)
    column = options.pop("caption_column")
    with shown_progress(announces=False) as progress:
        done = compress.prune_pipeline(
            pipeline, output, data=None if data is None else {**data, "caption_column": column},
            runtime=runtime, measured=measure, device=device, threads=threads, progress=progress,
            subnet=subnet, macs=macs, params=params, table=sensitivity, images=images, samples=samples, steps=steps,
            seed=seed,
        )  # fmt: skip
    emit_result(done, as_json)
