"""`nas export`: write a subnet as a stand-alone model, checked against the supernet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nas import api, export
from nas.api.targets import DEFAULT_MODEL
from nas.cli.data import data_options, given_data
from nas.cli.options import (
    batch_size_option,
    json_option,
    named_model_option,
    path_option,
    runtime_option,
    threads_option,
)
from nas.cli.output import emit_result, log_console, shown_progress


@click.command()
@click.argument("what", metavar="RUN|SUBNET")
@click.option(
    "--format",
    "formats",
    metavar="FORMAT,...",
    default="all",
    show_default=True,
    help="onnx, pt2, safetensors (which nas.load reads and is always written), or all.",
)
@path_option("--output", help="A new folder.  [default: WHAT-export]")
@named_model_option("The supernet, if the subnet does not name it.")
@data_options(required=False)
@runtime_option
@threads_option
@batch_size_option
@click.option("--no-measure", is_flag=True, help="Measure no latency now; keep what the run has measured.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    what: str,
    formats: str,
    output: Path | None,
    model: str | None,
    no_measure: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the answer of a run (or a subnet.json, 'largest', 'smallest') as files that run without anyfit.

    \b
      nas export runs/<run> --format onnx
      nas export smallest --output artifacts/small

    Every file is run and compared with the supernet first; over tolerance nothing is left behind. The latency is
    measured here, on the file that ships, as the run did unless told otherwise. With --data, BatchNorm is
    recalibrated on real images, and the quality on its test images is measured.
    """
    names = [each.name for each in export.parse_formats(formats)]
    target = api.find_target(what)
    folder = output or Path(f"{what.rstrip('/').removesuffix('.json')}-export")
    loaded = api.load_supernet(target, model, DEFAULT_MODEL)
    given = {name: options.pop(name) for name in ("runtime", "threads", "batch_size")}
    if target.kind == "run":  # what is not said is as the run measured
        said = ParameterSource.COMMANDLINE
        given = {name: value for name, value in given.items() if ctx.get_parameter_source(name) == said}
    data = api.opened(given_data(options))
    try:
        with shown_progress() as progress:
            done = api.export_target(
                loaded, target, folder, names, data=data, measured=not no_measure, progress=progress, **given
            )
    except export.ParityError as error:
        log_console().print(api.parity_table(error.rows).to_rich())
        raise
    emit_result(done, as_json)
