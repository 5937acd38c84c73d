"""`nas gan fidelity`: FID and KID as papers report them, by torch-fidelity."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import model_option, open_model, say, subnet_option, subnet_words
from nas.cli.commands import data_options, emit_json, json_option, opened


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
def command(
    model: str | None, subnet: str, samples: int, weights: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure FID and KID against the training images of --data, in Inception's features (needs anyfit[fidelity]).

    The features' weights are downloaded once unless --weights names their file.
    """

    loaded, found = open_model(model, [subnet])
    figures = stylegan2.measure_fidelity(
        loaded, found[subnet], opened(options), count=samples, weights=weights
    )
    if as_json:
        emit_json({"model": loaded.name, "subnet": found[subnet].to_dict(), **asdict(figures)})
        return
    say(f"FID {figures.fid:.2f}, KID × 1000 {figures.kid:.2f} ({figures.features} features)")
    say(
        f"{subnet_words(loaded, found[subnet])}; {figures.generated} images against {figures.real} of the data"
    )
