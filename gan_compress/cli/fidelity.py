"""`nas gan fidelity`: FID and KID as papers report them, by torch-fidelity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, subnet_option
from nas.cli.commands import data_options, emit_result, given_data, json_option


@click.command()
@model_option
@subnet_option
@data_options(required=True)
@click.option(
    "--samples", type=click.IntRange(min=2), default=10_000, show_default=True, help="Images to generate."
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    default=None,
    help="Inception's weights as torch-fidelity has them. Default: downloaded.",
)
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Measure FID and KID against the training images of --data, in Inception's features (needs anyfit[fidelity]).

    The features' weights are downloaded once unless --weights names their file.
    """
    data = given_data(options)
    assert data is not None
    emit_result(stylegan2.evaluate_fidelity(data, **options), as_json)
