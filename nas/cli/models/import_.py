"""`nas import`: make a model folder of a published supernet checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from nas import api
from nas.cli.options import json_option, read_settings
from nas.cli.output import emit_json, result_console


@click.command()
@click.argument("checkpoint", metavar="FILE|URL")
@click.option("--family", default="ofa-mbv3", show_default=True, help="The checkpoint's model family.")
@click.option(
    "--option",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the family that the checkpoint does not tell, as TOML: width=1.2, resolution=256.",
)
@click.option(
    "--classes",
    "class_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="The classes' names, one a line. Default: their numbers.",
)
@click.option("--name", default=None, help="The model's name. Default: the folder's.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The model's folder.")
@json_option
def command(
    checkpoint: str,
    family: str,
    settings: tuple[str, ...],
    class_file: Path | None,
    name: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Make a model folder of a published CHECKPOINT, for every other command to take as --model.

    \b
      nas import ofa_mbv3_d234_e346_k357_w1.2 --option width=1.2 --output models/ofa-w1.2
      nas calibrate models/ofa-w1.2 --data imagenet   # so that it needs no data later
      nas measure models/ofa-w1.2 --data imagenet     # so that searches can predict accuracy
      nas import ofa_resnet50_d0-1-2_e0.2-0.25-0.35_w0.65-0.8-1.0 --family ofa-resnet50 --output models/resnet50
      nas import latest_net_G.pth --family gan-compression --output models/horses

    The file is read without executing anything in it.
    """
    lines = None if class_file is None else class_file.read_text(encoding="utf-8").split("\n")
    classes = None if lines is None else [line.strip() for line in lines if line.strip()]
    options = read_settings(settings, "--option")
    made = api.import_checkpoint(
        checkpoint, output, family=family, options=options, classes=classes, name=name
    )
    if as_json:
        emit_json({"model": str(output), "family": family, "subnets": made.space.size})
    else:
        result_console().print(f"{family} with {made.space.size:,} subnets in {output}")
