"""`nas diffusion quantize`: what fewer bits cost and save, measured; the choice that is worth it as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion import compress
from diffusion import pipeline as pipelines
from diffusion.cli._options import DEFAULT_PIPELINE
from diffusion.pipeline.files.folder import find_pipeline
from nas.api.tables import plain_table
from nas.cli.commands import emit_json, json_option, log, result_console, runtime_option, threads_option
from nas.errors import NasError, UsageError
from nas.export import artifact_subnet, is_artifact, read_manifest
from nas.families import find_model, load_model
from nas.latency.runtimes import default_runtime, get_runtime
from nas.latency.units import format_bytes, format_ms
from nas.latency.workload import Workload

if TYPE_CHECKING:
    from diffusion.compress.quantization import Tried
    from nas.families import Model
    from nas.space import Subnet


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
    import tempfile

    if output is not None and output.exists():
        raise UsageError(f"{output} already exists; name a new folder with --output or remove that one first")
    chosen_runtime = default_runtime() if runtime is None else get_runtime(runtime)
    workload = Workload(threads=threads)
    chosen_runtime.require(workload)
    loaded, subnet = _opened(pipeline, model)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        trial = compress.Trial(
            loaded, chosen_runtime, workload, Path(scratch), with_match=with_match, report=log
        )
        tried = trial.run(compress.ways(loaded, subnet, chosen_runtime.name))
        best = compress.recommend(tried, purpose, least_psnr=least_psnr)
        if best is not None and output is not None:
            log(f"writing {output}")
            compress.write_quantized(loaded, best, tried[0], chosen_runtime, workload, output)
    _tell(tried, best, f"{chosen_runtime.name} {chosen_runtime.version}, {workload}", output, as_json)
    if best is None:
        raise NasError(compress.refusal(tried, purpose, compress.WORTH, least_psnr))


def _opened(pipeline: str, given: str | None) -> tuple[Model, Subnet]:
    """Return a pipeline's model and the subnet to start from: an exported one, or the original."""

    manifest = read_manifest(pipeline) if is_artifact(pipeline) else None
    if manifest is None:
        model = load_model(find_pipeline(pipeline))
    else:
        model = _taken_from(pipeline, given, manifest.info.get("pipeline") or manifest.model)
    if not isinstance(model.family, pipelines.DiffusionPipeline):
        raise UsageError(
            f"{pipeline} is a model for {model.task.name} and no pipeline of diffusers; quantize it with nas quantize"
        )
    largest = model.space.largest()
    return model, largest if manifest is None else artifact_subnet(pipeline, model.family)


def _taken_from(exported: str, given: str | None, known: str) -> Model:
    """Return the model that an export was taken from: the `given` one, or that of its manifest where it has a name."""

    if given is None:
        try:
            find_model(known)
        except UsageError as error:
            raise UsageError(
                f"{exported} was taken from the pipeline {known!r}, and there is none of that name; give its folder "
                "with --model"
            ) from error
    return load_model(given or known)


def _tell(tried: list[Tried], best: Tried | None, where: str, output: Path | None, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "measured_with": where,
                "choices": [each.to_dict() for each in tried],
                "recommended": None if best is None else best.way.name,
                "output": output if best is not None else None,
            }
        )
        return

    has_match = tried[0].match is not None
    rows = []
    for each in tried:
        row = [
            each.way.name,
            format_bytes(each.size_bytes),
            format_ms(each.measured.median_ms),
            _beside(each, tried[0]),
        ]
        row.append("" if each is tried[0] else f"{each.psnr_db:.1f} dB")
        rows.append([*row, f"{each.match:.0f}%"] if has_match else row)
    columns = ["", "files", "an image", "beside fp32", "PSNR", *(["prompt match"] if has_match else [])]
    console = result_console()
    console.print(plain_table(columns, rows))
    console.print(f"measured side by side under {where}", soft_wrap=True, markup=False)
    if best is not None:
        wrote = f"; wrote {output}" if output is not None else "; write it with --output FOLDER"
        console.print(f"recommended: {best.way.name}{wrote}", soft_wrap=True, markup=False)


def _beside(each: Tried, floats: Tried) -> str:
    """Say how fast a choice is beside floats; within 3% nobody would see a difference again."""
    if each is floats:
        return ""
    if abs(each.speedup - 1) <= 0.03:
        return "as fast"
    return f"{each.speedup:.2f}×{'' if each.speedup > 1 else ', slower'}"
