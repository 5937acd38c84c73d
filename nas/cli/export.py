"""`nas export`: write a subnet as a stand-alone model, checked against the supernet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._data import data_options, opened
from nas.cli._options import DEFAULT_MODEL, batch_size_option, json_option, runtime_option, threads_option
from nas.cli._output import emit_json, log, result_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from nas.export import Accuracy, Manifest
    from nas.families import Model
    from nas.space import Subnet


@click.command()
@click.argument("what", metavar="RUN|SUBNET")
@click.option(
    "--format", "formats", default="all", show_default=True, help="safetensors, onnx, pt2 (comma-separated)."
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
@json_option
def command(
    what: str,
    formats: str,
    output: Path | None,
    model: str | None,
    runtime: str | None,
    threads: int,
    batch_size: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the answer of a run (or a subnet.json, 'largest', 'smallest') as files that run without anyfit.

    Every file is run and compared with the supernet first; over tolerance nothing is left behind. The latency is
    measured here, on the file that ships. With --data, BatchNorm is recalibrated on real images, and the test accuracy
    is measured.
    """
    from nas.cli._figures import load_supernet, subnet_figures
    from nas.cli._targets import find_target
    from nas.export import Export, parse_formats
    from nas.latency.runtimes import default_runtime, get_runtime
    from nas.latency.workload import Workload

    chosen = parse_formats(formats)
    target = find_target(what)
    folder = output or Path(f"{what.rstrip('/').removesuffix('.json')}-export")
    loaded = load_supernet(target, model, DEFAULT_MODEL)
    figures = subnet_figures(target, loaded)
    calibration, judges = _from_data(options, loaded, figures.subnet)
    manifest = Export(
        model=loaded,
        subnet=figures.subnet,
        formats=chosen,
        calibration=calibration,
        accuracy=figures.accuracy,
        latency=[found for found in figures.latency if found.kind == "predicted"],
        judges=judges,
        runtime=get_runtime(runtime) if runtime else default_runtime(),
        workload=Workload(batch_size=batch_size, threads=threads),
        report=log,
    ).write(folder)
    if as_json:
        emit_json({"output": str(folder), **manifest.to_dict()})
    else:
        _show(folder, manifest)


def _from_data(
    options: dict[str, Any], model: Model, subnet: Subnet
) -> tuple[Any, list[Callable[[nn.Module], Any]]]:
    if options["data"] is None:
        return None, []
    from nas.export import Accuracy
    from nas.train.evaluate import accuracy, normalized, pictures, require_classes

    data = opened(options)
    require_classes(data, model.classes)
    size = model.image_size
    images, labels = pictures(data, "test", size)
    real, _ = pictures(data, "train", size, 2048)

    def judge(module: nn.Module) -> Accuracy:
        x = normalized(images, model.family, subnet, model.mean, model.std)
        return Accuracy(
            name="top1", value=accuracy(module, x, labels), kind="measured", data=f"{data.name}, test"
        )

    return real, [judge]


def _show(folder: Path, manifest: Manifest) -> None:
    from rich.table import Table

    from nas.latency.units import format_ms

    console = result_console()
    table = Table(title="checked against the supernet")
    for column in ("file", "batches", "largest relative difference", "tolerance"):
        table.add_column(column)
    for row in manifest.parity:
        batches = ", ".join(map(str, row["batch_sizes"]))
        table.add_row(row["format"], batches, f"{row['max_relative_delta']:.1e}", f"{row['tolerance']:.0e}")
    console.print(table)
    for found in manifest.latency:
        console.print(
            f"latency {format_ms(found.median_ms)} ({found.kind}, {found.runtime}, {found.threads} threads)"
        )
    for found in manifest.accuracy:
        console.print(f"{found.name} {found.value:.2f}% ({found.kind}, {found.data})")
    console.print(f"wrote {folder}: {', '.join(sorted(manifest.files))}", soft_wrap=True)
    console.print(f'load it: import nas; network = nas.load("{folder}")', soft_wrap=True)
