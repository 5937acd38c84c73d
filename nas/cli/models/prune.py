"""`nas prune`: a smaller subnet of a model, without a table and without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import api
from nas.cli.data import data_options, given_data
from nas.cli.options import count_option, json_option, path_option
from nas.cli.output import emit_result, shown_progress
from nas.errors import UsageError


@click.command()
@click.argument("model")
@click.option(
    "--subnet",
    metavar="NAME|JSON|PATH",
    default=None,
    help="half, smallest, a name that the family knows; choices as JSON; a subnet.json.",
)
@click.option("--macs", metavar="SHARE|COUNT", default=None, help="At most so many a pass: 60% or 20M.")
@click.option("--params", metavar="SHARE|COUNT", default=None, help="At most so many parameters: 50% or 2M.")
@path_option("--output", help="A new folder for the export of the subnet.")
@click.option(
    "--importance",
    metavar="NAME",
    default=None,
    help="l1, batch-norm, taylor (needs --data) or output (default without --data).",
)
@click.option("--sensitivity", is_flag=True, help="Measure and show what each choice costs and saves.")
@count_option("--samples", 64, "Inputs, or images of --data, that importance is found on.")
@count_option("--seed", 0, "Of all draws.", least=0)
@data_options(required=False)
@json_option
def command(
    model: str,
    subnet: str | None,
    macs: str | None,
    params: str | None,
    output: Path | None,
    importance: str | None,
    sensitivity: bool,
    samples: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose a smaller subnet of a model: what costs least for what it saves is left out until a limit is kept.

    \b
      nas prune mbv3-cifar10 --macs 60% --output small
      nas prune deblur-cifar10 --sensitivity             the table alone

    Needs no table of measured subnets and no search, only the network itself; with --data what matters is found on
    labelled images. A search within a latency finds better subnets where the model has a table. Pipelines have
    `nas diffusion prune`.
    """
    loaded = api.load(model)
    if not isinstance(loaded, api.Model):
        raise UsageError(f"{model} is an exported network and not a supernet; give a supernet")
    if [*loaded.family.programs] != [""]:
        raise UsageError(f"{model} is a pipeline; prune it with 'nas diffusion prune --pipeline {model}'")
    with shown_progress(announces=False) as progress:
        found = loaded.prune(
            output, data=given_data(options), progress=progress, importance=importance, subnet=subnet, macs=macs,
            params=params, table=sensitivity, samples=samples, seed=seed,
        )  # fmt: skip
    emit_result(found, as_json)
