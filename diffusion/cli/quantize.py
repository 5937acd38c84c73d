"""`nas diffusion quantize`: what fewer bits cost and save, measured; the choice that is worth it as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import compress
from diffusion.cli._options import DEFAULT_PIPELINE
from nas.cli.commands import (
    emit_result,
    json_option,
    named_model_option,
    path_option,
    runtime_option,
    shown_progress,
    threads_option,
)
from nas.errors import NasError


@click.command()
@click.argument("pipeline", metavar="[PIPELINE]", default=DEFAULT_PIPELINE)
@runtime_option
@threads_option
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["speed", "size"]),
    default="speed",
    show_default=True,
    help="speed: the most accurate of those at least 1.2 times as fast as fp32; size: the smallest files.",
)
@click.option(
    "--psnr",
    "least_psnr",
    type=click.FloatRange(0, 100),
    default=25.0,
    show_default=True,
    help="Take nothing whose pictures are below so many dB to those of fp32.",
)
@click.option("--match", "with_match", is_flag=True, help="Judge the prompt match of every choice too.")
@path_option(
    "--output",
    help="A new folder for the choice: for diffusers, with ONNX files. Without it nothing is written.",
)
@named_model_option("What an exported PIPELINE was taken from, if it is not known.")
@json_option
def command(
    pipeline: str,
    model: str | None,
    runtime: str | None,
    threads: int,
    purpose: Any,
    least_psnr: float,
    with_match: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Try weights of 8 and 4 bits for each kind of layer of a pipeline's denoiser, and int8 activations where they run.

    \b
      nas diffusion quantize
      nas diffusion quantize runs/small --for size --output small-int4

    PIPELINE is a shipped one, a folder of diffusers, or one that `nas export` wrote. Every choice is measured beside
    fp32 under one runtime: bytes of its files, time of an image, PSNR to the pictures of fp32 at the same seeds. One
    that is slower than fp32 is said to be slower, and taken only with --for size. Exit code 1: nothing is worth it.
    """

    loaded, subnet = compress.open_quantizable(pipeline, model)
    with shown_progress() as progress:
        found = compress.quantize_pipeline(
            loaded, subnet, output, runtime=runtime, threads=threads, purpose=purpose, least_psnr=least_psnr,
            with_match=with_match, progress=progress,
        )  # fmt: skip
    emit_result(found, as_json)
    if found.best is None:
        raise NasError(found.reason)
