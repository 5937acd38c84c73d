"""What the commands of `nas diffusion` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from diffusion.pipeline.files.folder import DEFAULT_PIPELINE, shipped
from nas.cli.commands import Decorator, count_option

_MOST = 2**32 - 1


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:

    return [name for name in shipped() if name.startswith(incomplete)]


pipeline_option: Decorator = click.option(
    "--pipeline",
    metavar="NAME|PATH|ID",
    default=DEFAULT_PIPELINE,
    show_default=True,
    shell_complete=_complete,
    help="A shipped pipeline's name, a folder that diffusers saved, a training's run, or a hub id.",
)
seed_option: Decorator = count_option("--seed", 0, "Same seed, same image.", least=0, most=_MOST)
device_option: Decorator = click.option(
    "--device", metavar="cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where the pipeline runs."
)
threads_option: Decorator = count_option("--threads", None, "Default: all cores.")


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --steps, --guidance, --negative and --rescale, of `diffusion.pipeline.SamplingSettings`."""
    options = (
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            default=None,
            show_default="the pipeline's own, or 25",
            help="Denoising steps.",
        ),
        click.option(
            "--guidance",
            type=click.FloatRange(0, 100),
            default=None,
            show_default="the pipeline's own, or 7.5",
            help="How strongly the prompt is followed; 1 or less: no guidance, half the time.",
        ),
        click.option("--negative", metavar="PROMPT", default="", help="What the images shall not show."),
        click.option(
            "--rescale",
            type=click.FloatRange(0, 1),
            default=0.0,
            show_default=True,
            help="Guidance rescaling against overexposure (Lin et al. 2023): 0 none, 0.7 is usual.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


caption_option: Decorator = click.option(
    "--caption-column",
    metavar="NAME",
    default=None,
    help="metadata.jsonl and parquet: where the captions are (default: text, or caption).",
)
