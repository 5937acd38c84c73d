"""`nas gan preview`: the same image by a small subnet and by the full generator."""

from __future__ import annotations

from typing import Any

import click

from gan_compress import stylegan2
from gan_compress.cli._options import (
    class_option,
    model_option,
    seed_option,
    truncation_option,
)
from nas.cli.commands import (
    emit_result,
    json_option,
    path_option,
    runtime_option,
    shown_progress,
    threads_option,
)


@click.command()
@model_option
@click.option("--subnet", metavar="SUBNET", default="0.25", show_default=True, help="What makes the preview.")
@seed_option
@class_option
@truncation_option
@click.option("--no-measure", is_flag=True, help="Make the images; measure no latency.")
@runtime_option
@threads_option
@path_option("--output", help="A new folder for preview.png and final.png.", default="preview")
@json_option
def command(no_measure: bool, as_json: bool, **options: Any) -> None:
    """Make one seed's image by a cheap subnet and in full quality; say how long each takes and how much they differ.

    The latencies are measured side by side, in a process of their own. The distance is in the features of a
    classifier, of the preview enlarged to full size; the pixel error is the root mean square, of pixels from 0 to 1.
    """
    with shown_progress(announces=False) as progress:
        found = stylegan2.preview_image(measured=not no_measure, progress=progress, **options)
    emit_result(found, as_json)
