"""`nas gan fidelity`: FID and KID as papers report them, by torch-fidelity."""

from __future__ import annotations

from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, subnet_option
from nas.cli.commands import count_option, data_options, emit_result, given_data, json_option, path_option


@click.command()
@model_option
@subnet_option
@data_options(required=True)
@count_option("--samples", 10_000, "Images to generate.", least=2)
@path_option("--weights", help="Inception's weights as torch-fidelity has them. Default: downloaded.")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Measure FID and KID against the training images of --data, in Inception's features (needs anyfit[fidelity]).

    The features' weights are downloaded once unless --weights names their file.
    """
    data = given_data(options)
    assert data is not None
    emit_result(stylegan2.evaluate_fidelity(data, **options), as_json)
