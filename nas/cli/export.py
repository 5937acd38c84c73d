"""`nas export`: write a subnet as a stand-alone model, checked against the supernet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nas.api.targets import DEFAULT_MODEL
from nas.cli._data import data_options, opened
from nas.cli._options import batch_size_option, json_option, runtime_option, threads_option
from nas.cli._output import emit_json, log, log_console, result_console

if TYPE_CHECKING:
    from nas.export import Manifest


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
@click.option(
    "--output", type=click.Path(path_type=Path), default=None, help="A new folder.  [default: WHAT-export]"
)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet, if the subnet does not name it."
)
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
    from nas.api.figures import load_supernet
    from nas.api.model import export_target
    from nas.api.targets import find_target
    from nas.export import ParityError, parse_formats

    names = [each.name for each in parse_formats(formats)]
    target = find_target(what)
    folder = output or Path(f"{what.rstrip('/').removesuffix('.json')}-export")
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    given = {name: options.pop(name) for name in ("runtime", "threads", "batch_size")}
    if target.kind == "run":  # what is not said is as the run measured
        said = ParameterSource.COMMANDLINE
        given = {name: value for name, value in given.items() if ctx.get_parameter_source(name) == said}
    data = opened(options) if options["data"] is not None else None
    try:
        done = export_target(
            loaded, target, folder, names, data=data, measured=not no_measure, report=log, **given
        )
    except ParityError as error:
        from nas.api.tables import parity_table

        log_console().print(parity_table(error.rows))
        raise
    if as_json:
        emit_json(done)
    else:
        _show(folder, done.manifest)


def _show(folder: Path, manifest: Manifest) -> None:
    from nas.api.tables import file_rows, latency_words, parity_table
    from nas.export import ParityRow

    console = result_console()
    console.print(parity_table([ParityRow.from_dict(row) for row in manifest.parity]))
    console.print(file_rows(str(folder), manifest).to_rich())
    for found in manifest.quality:
        console.print(f"{found.name:8} {found.text} ({found.kind}, {found.data})", markup=False)
    for found in manifest.latency:
        console.print(f"latency  {latency_words(found)}", soft_wrap=True, markup=False)
    console.print(f"\nwrote    {folder} (README.md says how to use each file)", soft_wrap=True, markup=False)
    console.print(f'load     import nas; network = nas.load("{folder}")', soft_wrap=True, markup=False)
