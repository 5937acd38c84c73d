"""`nas eval`: measure a network's accuracy on given data."""

from __future__ import annotations

from typing import Any, Literal

import click

from nas.cli._data import data_options, opened
from nas.cli._options import DEFAULT_MODEL, json_option
from nas.cli._output import emit_json, result_console


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT")
@data_options(required=True)
@click.option(
    "--model", default=None, metavar="NAME|PATH", help="The supernet, if a subnet does not name it."
)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option(
    "--real-calibration", is_flag=True, help="Recalibrate on real training images, not the model's own."
)
@json_option
def command(
    what: str,
    model: str | None,
    split: Literal["val", "test"],
    real_calibration: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the top-1 of a subnet, a run's answer, an exported model, or a supernet's largest subnet."""
    from nas.cli._figures import artifact_figures, load_supernet, read_subnet
    from nas.cli._targets import find_target
    from nas.export import artifact_family, load_artifact
    from nas.train.evaluate import accuracy, normalized, pictures, require_classes

    target = find_target(what)
    data = opened(options)
    if target.kind == "artifact":
        figures, manifest = artifact_figures(target)
        family, subnet = artifact_family(target.where, manifest), figures.subnet
        classes, mean, std = manifest.classes, manifest.input.mean, manifest.input.std
        module = load_artifact(target.where)
    else:
        loaded = load_supernet(target, model, DEFAULT_MODEL)
        family, subnet = loaded.family, read_subnet(target, loaded)
        classes, mean, std = loaded.classes, loaded.mean, loaded.std
        module = None
    require_classes(data, classes)
    height, width = family.example_input(family.space.largest()).shape[-2:]
    size = int(height), int(width)
    images, labels = pictures(data, split, size)
    if module is None:
        real = pictures(data, "train", size, 2048)[0] if real_calibration else None
        module = loaded.extract(subnet, real)
    top1 = accuracy(module, normalized(images, family, subnet, mean, std), labels)
    if as_json:
        quality = {"name": "top1", "value": top1}
        emit_json(
            {
                "subnet": subnet.to_dict(),
                "quality": quality,
                "data": data.name,
                "split": split,
                "n": len(labels),
            }
        )
    else:
        result_console().print(f"top-1 {top1:.2f}% on {len(labels)} {split} images of {data.name}")
