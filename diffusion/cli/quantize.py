"""`nas diffusion quantize`: what fewer bits cost and save, measured; the choice that is worth it as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import compress
from diffusion import pipeline as pipelines
from diffusion.cli._options import DEFAULT_PIPELINE
from diffusion.pipeline.files.folder import find_pipeline
from nas import export, models
from nas.cli.commands import (
    emit_result,
    json_option,
    runtime_option,
    shown_progress,
    threads_option,
)
from nas.errors import NasError, UsageError


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
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="A new folder for the choice: for diffusers, with ONNX files. Without it nothing is written.",
)
@click.option(
    "--model",
    default=None,
    metavar="NAME|PATH",
    help="What an exported PIPELINE was taken from, if it is not known.",
)
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

    if output is not None and output.exists():
        raise UsageError(f"{output} already exists; name a new folder with --output or remove that one first")
    loaded, subnet = _opened(pipeline, model)
    with shown_progress() as progress:
        found = compress.quantize_pipeline(
            loaded, subnet, output, runtime=runtime, threads=threads, purpose=purpose, least_psnr=least_psnr,
            with_match=with_match, progress=progress,
        )  # fmt: skip
    emit_result(found, as_json)
    if found.best is None:
        raise NasError(found.reason)


def _opened(pipeline: str, given: str | None) -> tuple[models.Model, Any]:
    """Return a pipeline's model and the subnet to start from: an exported one, or the original."""

    manifest = export.read_manifest(pipeline) if export.is_artifact(pipeline) else None
    if manifest is None:
        model = models.load_model(find_pipeline(pipeline))
    else:
        model = _taken_from(pipeline, given, manifest.info.get("pipeline") or manifest.model)
    if not isinstance(model.family, pipelines.PipelineFamily):
        raise UsageError(
            f"{pipeline} is a model for {model.task.name} and no pipeline of diffusers; quantize it with nas quantize"
        )
    largest = model.space.largest()
    return model, largest if manifest is None else export.artifact_subnet(pipeline, model.family)


def _taken_from(exported: str, given: str | None, known: str) -> models.Model:
    """Return the model that an export was taken from: the `given` one, or that of its manifest where it has a name."""
    if given is None:
        try:
            models.find_model(known)
        except UsageError as error:
            raise UsageError(
                f"{exported} was taken from the pipeline {known!r}, and there is none of that name; give its folder "
                "with --model"
            ) from error
    return models.load_model(given or known)
