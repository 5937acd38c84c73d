"""`nas diffusion eval`: how many images show what was asked for, and how near they are to another pipeline's."""

from __future__ import annotations

from typing import Any

import click

from diffusion import evaluation
from diffusion.cli._options import (
    device_option,
    pipeline_option,
    sampling_options,
    seed_option,
    threads_option,
)
from nas.cli.commands import count_option, data_options, emit_result, given_data, json_option, shown_progress


@click.command()
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@pipeline_option
@click.option(
    "--against",
    metavar="NAME|PATH|ID",
    default=None,
    help="Also compare with this pipeline's images, seed by seed.",
)
@count_option("--images", 500, "Images to make.", most=100_000)
@count_option("--compared", 64, "How many of them are compared with --against.", most=10_000)
@seed_option
@sampling_options
@click.option(
    "--classifier",
    "judge",
    metavar="NAME|PATH",
    default="mbv3-cifar10",
    show_default=True,
    help="Which classifier judges.",
)
@data_options(required=False)
@click.option(
    "--clip",
    metavar="FOLDER|ID|cache",
    default=None,
    help="Also the CLIP score, by this model of transformers; nothing is downloaded.",
)
@click.option(
    "--lpips",
    metavar="FILE|cache",
    default=None,
    help="Also LPIPS to --against, by torchvision's weights of AlexNet or VGG-16.",
)
@click.option(
    "--inception",
    metavar="FILE|cache",
    default=None,
    help="Also FID to --data, by Inception's weights as torch-fidelity has them.",
)
@device_option
@threads_option
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Measure prompt match: the share of images in which a classifier sees the class that their prompt names.

    \b
      nas diffusion eval --images 1000
      nas diffusion eval --pipeline compressed --against tiny-sd-cifar10

    Without PROMPT, each class is asked for in turn. The classifier is our own: it is no CLIP score, and it is wrong
    about some real images too. Prompts without one class each, and images of no class that the classifier knows, such
    as those of an unconditional pipeline, are judged where --against, --data or --clip is given. Every distance names
    its features; "cache" is what the libraries have downloaded before.
    """
    data = given_data(options)
    with shown_progress(announces=False) as progress:
        found = evaluation.evaluate_pipeline(data=data, progress=progress, **options)
    emit_result(found, as_json)
