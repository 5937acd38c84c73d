"""`nas gan translate`: apply an image-to-image generator to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gan_compress import pix2pix
from gan_compress.cli._options import say, subnets_option, target_of, zoom_option
from nas import export
from nas.api.figures import load_supernet, read_subnet
from nas.api.tables import latency_words, plain_table
from nas.api.targets import Target
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
    import numpy as np
    from torch import Tensor

    from nas.export import Latency
    from nas.models import Model
    from nas.space import Subnet

DEFAULT_MODEL = "deblur-cifar10"


@dataclass
class _Made:
    """What one subnet made of one picture."""

    image: str
    subnet: str
    picture: Tensor
    took_ms: float
    psnr_db: float | None


@click.command()
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--model", metavar="NAME|PATH", default=None, help=f"The generator (default: the run's, or {DEFAULT_MODEL})."
)  # fmt: skip
@subnets_option
@click.option(
    "--pairs",
    metavar="NAME",
    default=None,
    help="First make an input of IMAGE: blur, grey, small, or auto: what the model was trained for.",
)
@click.option(
    "--size", type=click.IntRange(min=16), default=None, help="Pixels of the longer side (default: as it is)."
)
@click.option("--no-measure", is_flag=True, help="Measure no latency.")
@runtime_option
@threads_option
@zoom_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("translated.png"),
    show_default=True,
    help="A new .png file: the picture, or a sheet of several. Or a new folder: every picture by itself.",
)
@json_option
def command(
    images: tuple[Path, ...],
    model: str | None,
    subnets: tuple[str, ...],
    pairs: str | None,
    size: int | None,
    no_measure: bool,
    runtime: str | None,
    threads: int,
    zoom: int,
    output: Path,
    as_json: bool,
) -> None:
    """Apply a generator, or some of its subnets, to each IMAGE.

    With --pairs the input is made of IMAGE, which is then the true picture: a sheet shows input, output and truth.
    SUBNET is 'largest', 'smallest', a configuration such as 8_8_16_8_8_8_8_8, the folder of a run or a subnet.json.

    \b
      nas gan translate blurred.jpg -o sharp.png
      nas gan translate cat.png --pairs auto --subnet largest --subnet smallest --size 64 --zoom 4
    """

    check_output(output, (".png",) if output.suffix else ())
    loaded, found = _open(model, subnets or ("largest",))
    family = pix2pix.translation_family(loaded)
    chosen = pix2pix.model_pairs(loaded) if pairs == "auto" else pairs
    degrade = pix2pix.get_pairs(chosen) if chosen not in (None, pix2pix.SAME) else None
    networks = {name: loaded.extract(subnet) for name, subnet in found.items()}
    rows: list[tuple[Tensor, list[_Made], Tensor | None]] = []
    for image in images:
        picture = pix2pix.read_whole(image, size)
        given, truth = (degrade(picture), picture) if degrade else (picture, None)
        rows.append((given, [_make(image, *pair, family, given, truth) for pair in networks.items()], truth))
    measured = {} if no_measure else _measure(loaded, networks, found, runtime, threads)
    _write(output, rows, zoom)
    made = [each for _, several, _ in rows for each in several]
    if as_json:
        emit_json(_answer(loaded, found, made, measured, output, pairs))
    else:
        _show(loaded, found, made, measured, output)


def _open(model: str | None, subnets: Sequence[str]) -> tuple[Model, dict[str, Subnet]]:

    targets = {text: target_of(text) for text in subnets if "_" not in text or Path(text).exists()}
    named = [target for target in targets.values() if target.path is not None]
    loaded = load_supernet(named[0] if named else Target("largest", "subnet"), model, DEFAULT_MODEL)
    found = {}
    for text in subnets:
        known = None if text in targets else pix2pix.find_subnet(loaded, text)
        found[text] = known or read_subnet(targets.get(text) or target_of(text), loaded)
    return loaded, found


def _make(image: Path, name: str, network: Any, family: Any, given: Tensor, truth: Tensor | None) -> _Made:

    picture, took = pix2pix.translate(network, family, given)
    return _Made(
        str(image), name, picture, took, None if truth is None else float(pix2pix.psnr(picture, truth))
    )


def _measure(
    model: Model, networks: dict[str, Any], subnets: dict[str, Subnet], runtime: str | None, threads: int
) -> dict[str, Latency]:

    chosen = get_runtime(runtime) if runtime else default_runtime()
    measured = {
        name: export.Network(network, model.family, subnets[name]) for name, network in networks.items()
    }
    with progress_bar("measuring") as advance:
        return export.measure_networks(measured, chosen, Workload(1, threads), advance)


def _write(output: Path, rows: list[tuple[Tensor, list[_Made], Tensor | None]], zoom: int) -> None:
    """Write one picture, a sheet with a row for each image, or a folder of pictures."""

    if not output.suffix:
        with new_folder(output) as folder:
            for number, (_, made, _) in enumerate(rows):
                for place, each in enumerate(made):
                    name = "-".join(
                        [Path(each.image).stem, *([str(number)] if len(rows) > 1 else []),
                         *([str(place)] if len(made) > 1 else [])]
                    )  # fmt: skip
                    write_png(
                        folder / f"{name}.png",
                        pix2pix.contact_sheet([[pix2pix.pixels(each.picture)]], zoom=zoom),
                    )
        return
    table: list[list[np.ndarray]] = []
    for given, made, truth in rows:
        results = [pix2pix.pixels(each.picture) for each in made]
        alone = len(rows) == len(made) == 1 and truth is None
        around = [] if alone else [pix2pix.pixels(given)]
        table.append([*around, *results, *([] if truth is None else [pix2pix.pixels(truth)])])
    write_png(output, pix2pix.contact_sheet(table, zoom=zoom))


def _answer(
    model: Model,
    subnets: dict[str, Subnet],
    made: list[_Made],
    measured: dict[str, Latency],
    output: Path,
    pairs: str | None,
) -> dict[str, Any]:
    return {
        "output": output,
        "model": model.name,
        "pairs": pairs,
        "subnets": {
            name: {
                "subnet": subnet.to_dict(),
                "macs": model.supernet.count(subnet).macs,
                "latency": vars(measured[name]) if measured else None,
            }
            for name, subnet in subnets.items()
        },
        "images": [
            {
                "image": each.image,
                "subnet": each.subnet,
                "size": [*each.picture.shape[-2:]],
                "took_ms": each.took_ms,
                "psnr_db": each.psnr_db,
            }
            for each in made
        ],
    }


def _show(
    model: Model,
    subnets: dict[str, Subnet],
    made: list[_Made],
    measured: dict[str, Latency],
    output: Path,
) -> None:

    family: Any = model.family
    compared = made[0].psnr_db is not None
    columns = ["image", "size", "subnet", "MACs", "took"]
    columns += (["latency"] if measured else []) + (["PSNR"] if compared else [])
    rows = []
    for each in made:
        height, width = each.picture.shape[-2:]
        macs = format_count(model.supernet.count(subnets[each.subnet]).macs)
        row = [Path(each.image).name, f"{width} × {height}", each.subnet, macs, format_ms(each.took_ms)]
        row += [format_ms(measured[each.subnet].median_ms)] if measured else []
        rows.append([*row, f"{each.psnr_db:.2f} dB"] if compared else row)
    result_console().print(plain_table(columns, rows, left=("image", "size", "subnet")))
    side = family.resolution
    say(
        f"MACs{' and latency' if measured else ''} are for {side} × {side} pixels; took: torch, the picture, once"
    )
    if measured:
        say(f"latency: {latency_words(next(iter(measured.values()))).partition(' (')[2][:-1]}")
    say(f"wrote {output}")
