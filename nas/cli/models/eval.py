"""`nas eval`: measure a network's quality on given data."""

from __future__ import annotations

from typing import Any, Literal

import click

from nas import api
from nas.api.targets import DEFAULT_MODEL
from nas.cli.data import data_options, given_data
from nas.cli.options import json_option, named_model_option, quality_option
from nas.cli.output import emit_json, result_console


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT")
@data_options(required=False)
@named_model_option("The supernet, if a subnet does not name it.")
@quality_option
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option(
    "--real-calibration", is_flag=True, help="Recalibrate on real training images, not the model's own."
)
@json_option
def command(
    what: str,
    model: str | None,
    quality: str | None,
    split: Literal["val", "test"],
    real_calibration: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the quality of a subnet, a run's answer, an exported model, or a supernet's largest subnet.

    \b
      nas eval runs/<run> --data CIFAR10 --download
      nas eval anycost-digits --quality distance

    A classifier's is its top-1 on labelled images, given with --data.
    """
    target, data = api.find_target(what), given_data(options)
    if target.kind == "artifact":
        found = api.evaluate_artifact(target.where, data, quality=quality, split=split)
    else:
        supernet = api.Model.of(api.load_supernet(target, model, DEFAULT_MODEL))
        found = supernet.evaluate(what, data, quality=quality, split=split, real_calibration=real_calibration)
    if as_json:
        emit_json({**found.to_dict(), "split": split})
    else:
        result_console().print(f"{found.label} {found.text} on {found.data}", markup=False)
