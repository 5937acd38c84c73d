"""`nas quantize`: an int8 file for an exported model, if it is worth it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import batch_size_option, json_option, threads_option
from nas.cli._output import emit_json, log, result_console


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), default=None, help="A new folder.  [default: ARTIFACT-int8]"
)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet, if it is none of the known models."
)
@data_options(required=False)
@threads_option
@batch_size_option
@json_option
def command(
    artifact: Path,
    output: Path | None,
    model: str | None,
    threads: int,
    batch_size: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize the ONNX file of an exported model to int8 and write the model anew with both files.

    \b
      nas quantize runs/<run>-export

    Three choices of what becomes int8 are measured beside fp32 under ONNX Runtime: of those that are 1.2 times as fast
    the most accurate is taken, and where there is none int8 is refused. What it costs in quality is measured too, on
    the test images of --data where the quality needs some.
    """
    from nas._errors import UsageError
    from nas.export import is_artifact, quantize_artifact, read_manifest, require_one_program
    from nas.families import load_model
    from nas.latency.runtimes import get_runtime
    from nas.latency.workload import Workload

    if not is_artifact(artifact):
        raise UsageError(f"{artifact} is no exported model; give a folder that `nas export` made")
    folder = output or artifact.with_name(f"{artifact.name}-int8")
    if folder.exists():
        raise UsageError(f"{folder} already exists; name a new folder with --output or remove that one first")
    require_one_program(artifact)
    loaded = load_model(model or read_manifest(artifact).model)
    data, task = (opened(options) if options["data"] is not None else None), loaded.task
    evaluators = [
        task.evaluator(loaded, quality, data, split="test")
        for quality in task.qualities
        if data is not None or not task.needs_data(quality)
    ]
    runtime, workload = get_runtime("onnxruntime"), Workload(batch_size, threads)
    found = quantize_artifact(artifact, folder, loaded, evaluators, runtime, workload, report=log)
    names = ("fp32", "int8")
    if as_json:
        emit_json(
            {
                "output": str(folder),
                "latency_ms": dict(zip(names, found.latency_ms, strict=True)),
                "bytes": dict(zip(names, found.bytes, strict=True)),
                "quality": {
                    pair[0].name: {name: figure.value for name, figure in zip(names, pair, strict=True)}
                    for pair in found.quality
                },
                "speedup": found.speedup,
                "scope": found.scope,
                "tried": dict(found.tried),
            }
        )
        return
    from nas.api.tables import plain_table
    from nas.compress import SCOPES
    from nas.latency.units import format_bytes, format_ms

    rows = [[pair[0].name, *(figure.text for figure in pair)] for pair in found.quality]
    rows.append(["latency", *map(format_ms, found.latency_ms)])
    rows.append(["file size", *map(format_bytes, found.bytes)])
    console = result_console()
    console.print(plain_table(("", *names), rows))
    console.print(f"int8 are {SCOPES[found.scope]}", soft_wrap=True, markup=False)
    others = ", ".join(f"{scope} {ratio:.2f}×" for scope, ratio in found.tried.items())
    console.print(f"{found.speedup:.2f}× as fast ({others}); wrote {folder}", soft_wrap=True, markup=False)
