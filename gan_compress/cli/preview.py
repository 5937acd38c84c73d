"""`nas gan preview`: the same image by a small subnet and by the full generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    model_option,
    open_model,
    output_option,
    say,
    seed_option,
    subnet_words,
    truncation_option,
)
from nas import export
from nas.api.tables import latency_words, plain_table
from nas.cli.commands import (
    emit_json,
    json_option,
    progress_bar,
    result_console,
    runtime_option,
    threads_option,
)
from nas.files import new_folder
from nas.latency.runtimes import default_runtime, get_runtime
from nas.latency.units import format_count, format_ms
from nas.latency.workload import Workload
from nas.pictures import check_output, write_png

if TYPE_CHECKING:
    from gan_compress.stylegan2.networks import Generator
    from nas.export import Latency
    from nas.models import Model
    from nas.space import Subnet

FINAL = "largest"


@click.command()
@model_option
@click.option("--subnet", metavar="SUBNET", default="0.25", show_default=True, help="What makes the preview.")
@seed_option
@class_option
@truncation_option
@click.option("--no-measure", is_flag=True, help="Make the images; measure no latency.")
@runtime_option
@threads_option
@output_option("A new folder for preview.png and final.png.", "preview")
@json_option
def command(
    model: str | None,
    subnet: str,
    seed: int,
    label: str | None,
    truncation: float,
    no_measure: bool,
    runtime: str | None,
    threads: int,
    output: Path,
    as_json: bool,
) -> None:
    """Make one seed's image by a cheap subnet and in full quality; say how long each takes and how much they differ.

    The latencies are measured side by side, in a process of their own. The distance is in the features of a
    classifier, of the preview enlarged to full size; the pixel error is the root mean square, of pixels from 0 to 1.
    """
    from nas.metrics.features import DEFAULT

    check_output(output)
    loaded, found = open_model(model, [subnet, FINAL])
    chosen = None if label is None else stylegan2.class_index(loaded, label)
    networks = {name: stylegan2.load_generator(loaded, found[name]) for name in (subnet, FINAL)}
    style = stylegan2.styles(networks[FINAL], stylegan2.latents(loaded, [seed], [chosen]), truncation)
    images = {name: stylegan2.synthesize(network, style) for name, network in networks.items()}
    distance, error = stylegan2.difference(loaded, images[subnet], images[FINAL])
    measured = {} if no_measure else _measure(loaded, networks, found, runtime, threads)
    with new_folder(output) as folder:
        for file, name in (("preview.png", subnet), ("final.png", FINAL)):
            write_png(folder / file, stylegan2.to_pixels(loaded, images[name])[0])
    if as_json:
        parts = {"preview": subnet, "final": FINAL}
        emit_json(
            {
                "output": output,
                "model": loaded.name,
                "seed": seed,
                "class": None if chosen is None else loaded.classes[chosen],
                "truncation": truncation,
                **{
                    part: {
                        "subnet": found[name].to_dict(),
                        "macs": loaded.supernet.count(found[name]).macs,
                        "latency": vars(measured[name]) if measured else None,
                    }
                    for part, name in parts.items()
                },
                "distance": distance,
                "features": DEFAULT,
                "pixel_error": error,
            }
        )
        return
    _show(loaded, output, subnet, found, measured, distance, error)


def _measure(
    model: Model,
    networks: dict[str, Generator],
    subnets: dict[str, Subnet],
    runtime: str | None,
    threads: int,
) -> dict[str, Latency]:

    chosen = get_runtime(runtime) if runtime else default_runtime()
    measured = {
        name: export.Network(network, model.family, subnets[name]) for name, network in networks.items()
    }
    with progress_bar("measuring") as advance:
        return export.measure_networks(measured, chosen, Workload(1, threads), advance)


def _show(
    model: Model,
    output: Path,
    subnet: str,
    subnets: dict[str, Subnet],
    measured: dict[str, Latency],
    distance: float,
    error: float,
) -> None:
    from nas.metrics.features import DEFAULT

    rows = []
    for part, name in (("preview", subnet), ("final", FINAL)):
        macs = format_count(model.supernet.count(subnets[name]).macs)
        latency = [format_ms(measured[name].median_ms)] if measured else []
        rows.append([part, name, subnet_words(model, subnets[name]), macs, *latency])
    columns = ["", "subnet", "size", "MACs", *(["latency"] if measured else [])]
    result_console().print(plain_table(columns, rows, left=("subnet", "size")))
    if measured:
        say(f"latency: {latency_words(measured[FINAL]).partition(' (')[2][:-1]}")
        ratio = measured[FINAL].median_ms / measured[subnet].median_ms
        say(f"the final image takes {ratio:.1f}× as long as the preview")
    say(f"feature distance {distance:.4f} ({DEFAULT} features), pixel error {error:.4f}")
    say(f"wrote {output}/preview.png and final.png")
