"""`nas quantize`: an int8 file for an exported model, if it is worth it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import api, export, models
from nas.cli.data import data_options, given_data
from nas.cli.options import batch_size_option, json_option, named_model_option, path_option, threads_option
from nas.cli.output import emit_result, shown_progress
from nas.errors import UsageError
from nas.files import new_place


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@path_option("--output", help="A new folder.  [default: ARTIFACT-int8]")
@named_model_option("The supernet, if it is none of the known models.")
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
    if not export.is_artifact(artifact):
        raise UsageError(f"{artifact} is no exported model; give a folder that `nas export` made")
    folder = new_place(output or artifact.with_name(f"{artifact.name}-int8"))
    export.require_one_program(artifact)
    loaded = api.Model.of(models.load_model(model or export.read_manifest(artifact).model))
    with shown_progress() as progress:
        found = loaded.quantize(
            artifact, folder, given_data(options), threads=threads, batch_size=batch_size, progress=progress
        )
    emit_result(found, as_json)
