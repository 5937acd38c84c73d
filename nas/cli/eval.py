"""`nas eval`: measure a network's quality on given data."""

from __future__ import annotations

from typing import Any, Literal

import click

from nas.cli._data import data_options, opened
from nas.cli._options import DEFAULT_MODEL, json_option, quality_option
from nas.cli._output import emit_json, result_console


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT")
@data_options(required=False)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet, if a subnet does not name it."
)
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
    from nas.cli._figures import load_supernet, read_subnet
    from nas.cli._targets import find_target
    from nas.export import artifact_model, load_artifact

    target = find_target(what)
    data = opened(options) if options["data"] is not None else None
    if target.kind == "artifact":
        loaded, module = artifact_model(target.where), load_artifact(target.where)
    else:
        loaded, module = load_supernet(target, model, DEFAULT_MODEL), None
    subnet = read_subnet(target, loaded)
    judge = loaded.task.judge(loaded, loaded.task.quality(quality), data, split=split)
    if module is None:
        module = loaded.extract(subnet, judge.calibration if real_calibration else None)
    value = judge(loaded, module, subnet)
    if as_json:
        found = {"name": judge.quality.name, "value": value, "unit": judge.quality.unit}
        emit_json({"subnet": subnet.to_dict(), "quality": found, "data": judge.data, "split": split})
    else:
        result_console().print(
            f"{judge.quality.label} {judge.quality.text(value)} on {judge.data}", markup=False
        )
