"""`nas export`: write a subnet as a stand-alone model, checked against the supernet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nas.cli._data import data_options, opened
from nas.cli._options import DEFAULT_MODEL, batch_size_option, json_option, runtime_option, threads_option
from nas.cli._output import emit_json, log, log_console, result_console

if TYPE_CHECKING:
    from nas.cli._targets import Target
    from nas.export import Manifest
    from nas.families import Judge, Model
    from nas.latency.runtimes import Runtime
    from nas.latency.workload import Workload


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
    from nas._errors import UsageError
    from nas.cli._figures import load_supernet, subnet_figures
    from nas.cli._targets import find_target
    from nas.export import Export, ParityError, parse_formats

    chosen = parse_formats(formats)
    target = find_target(what)
    folder = output or Path(f"{what.rstrip('/').removesuffix('.json')}-export")
    if folder.exists():
        raise UsageError(f"{folder} already exists; name a new folder with --output or remove that one first")
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    figures = subnet_figures(target, loaded)
    runtime, workload = _workload(ctx, target, options)
    judges = _from_data(options, loaded)
    try:
        manifest = Export(
            model=loaded,
            subnet=figures.subnet,
            formats=chosen,
            calibration=judges[0].calibration if judges else None,
            quality=figures.quality,
            latency=[found for found in figures.latency if no_measure or found.kind == "predicted"],
            judges=judges,
            runtime=None if no_measure else runtime,
            workload=workload,
            report=log,
        ).write(folder)
    except ParityError as error:
        from nas.cli._tables import parity_table

        log_console().print(parity_table(error.rows))
        raise
    if as_json:
        emit_json({"output": str(folder), **manifest.to_dict()})
    else:
        _show(folder, manifest)


def _workload(ctx: click.Context, target: Target, options: dict[str, Any]) -> tuple[Runtime, Workload]:
    """Return what to measure with: the options that were given, and the rest as the run measured."""
    from nas.latency.runtimes import default_runtime, get_runtime
    from nas.latency.workload import Workload

    given = {name: options.pop(name) for name in ("runtime", "threads", "batch_size")}
    if target.kind == "run":
        from nas.cli._figures import measured_with

        for name, value in measured_with(target.where).items():
            if ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
                given[name] = value
    runtime = get_runtime(given["runtime"]) if given["runtime"] else default_runtime()
    workload = Workload(batch_size=given["batch_size"], threads=given["threads"])
    runtime.require(workload)
    return runtime, workload


def _from_data(options: dict[str, Any], model: Model) -> list[Judge]:
    """Return what measures the model's qualities on test images of --data; nothing without it."""
    if options["data"] is None:
        return []
    data, task = opened(options), model.task
    return [task.judge(model, quality, data, split="test") for quality in task.qualities]


def _show(folder: Path, manifest: Manifest) -> None:
    from nas.cli._tables import file_table, latency_words, parity_table
    from nas.export import ParityRow

    console = result_console()
    console.print(parity_table([ParityRow.from_dict(row) for row in manifest.parity]))
    console.print(file_table(str(folder), manifest))
    for found in manifest.quality:
        console.print(f"{found.name:8} {found.text} ({found.kind}, {found.data})", markup=False)
    for found in manifest.latency:
        console.print(f"latency  {latency_words(found)}", soft_wrap=True, markup=False)
    console.print(f"\nwrote    {folder} (README.md says how to use each file)", soft_wrap=True, markup=False)
    console.print(f'load     import nas; network = nas.load("{folder}")', soft_wrap=True, markup=False)
