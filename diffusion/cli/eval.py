"""`nas diffusion eval`: how many images show what was asked for, and how near they are to another pipeline's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from diffusion import evaluation
from diffusion.cli._options import (
    asked_prompts,
    device_option,
    opened_pipeline,
    pipeline_name,
    pipeline_option,
    sampling_options,
    seed_option,
    settings_of,
    threads_option,
)
from nas.cli.commands import data_options, emit_json, json_option, opened, progress_bar, result_console

if TYPE_CHECKING:
    from diffusion.evaluation.metrics import Figure
    from nas.data.dataset import Data


@click.command()
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@pipeline_option
@click.option(
    "--against",
    metavar="NAME|PATH|ID",
    default=None,
    help="Also compare with this pipeline's images, seed by seed.",
)
@click.option(
    "--images", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Images to make."
)
@click.option(
    "--compared",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="How many of them are compared with --against.",
)
@seed_option
@sampling_options
@click.option(
    "--classifier",
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
def command(
    prompts: tuple[str, ...],
    pipeline: str,
    against: str | None,
    images: int,
    compared: int,
    seed: int,
    classifier: str,
    clip: str | None,
    lpips: str | None,
    inception: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure prompt match: the share of images in which a classifier sees the class that their prompt names.

    \b
      nas diffusion eval --images 1000
      nas diffusion eval --pipeline compressed --against tiny-sd-cifar10

    Without PROMPT, each class is asked for in turn. The classifier is our own: it is no CLIP score, and it is wrong
    about some real images too. Prompts without one class each, and images of no class that the classifier knows, such
    as those of an unconditional pipeline, are judged where --against, --data or --clip is given. Every distance names
    its features; "cache" is what the libraries have downloaded before.
    """
    _require(lpips, against, "--lpips", "--against: a pipeline to compare with")
    _require(inception, options["data"], "--inception", "--data: real images to compare with")
    data = _data(options)
    theirs = None if against is None else settings_of(dict(options), against)
    settings = settings_of(options, pipeline)
    extras = evaluation.Extras.opened(clip, lpips, inception)
    loaded = opened_pipeline(pipeline, device, threads)
    other = None
    if against is not None and theirs is not None:
        other = evaluation.Other(against, opened_pipeline(against, device, threads), theirs)
    asked = asked_prompts(prompts, pipeline, loaded) if prompts else []
    with progress_bar("images") as advance:
        found = evaluation.evaluate_pipeline(
            loaded, settings, asked, own_prompts=partial(asked_prompts, (), pipeline, loaded), images=images,
            seed=seed, against=other, compared=compared, data=data, extras=extras, judge=classifier,
            progress=advance,
        )  # fmt: skip
    if as_json:
        named = None if against is None else pipeline_name(against)
        emit_json({"pipeline": pipeline_name(pipeline), "against": named, **found.to_dict()})
        return
    _tell(found.match, found.difference, found.figures, against)


def _require(value: str | None, other: str | None, option: str, needed: str) -> None:
    if value is not None and other is None:
        raise click.UsageError(f"{option} is given, but it needs {needed}")


def _data(options: dict[str, Any]) -> Data | None:
    """Take the data options out of `options`; open the data where there is any."""
    if options["data"] is not None:
        return opened(options)
    for name in ("data", "data_root", "download", "image_column", "label_column"):
        options.pop(name)
    return None


def _tell(match: Any, difference: Any, figures: Sequence[Figure], against: str | None) -> None:
    console = result_console()
    if match is not None:
        console.print(
            f"prompt match {match.percent:.1f}% (95%: {match.low:.1f} to {match.high:.1f}%), {match.images} images "
            f"judged by {match.classifier}",
            soft_wrap=True,
        )
        for prompt, percent in match.by_prompt.items():
            console.print(f"  {percent:5.1f}%  {prompt}", soft_wrap=True, markup=False)
    if difference is not None:
        latent = "" if difference.latent is None else f", latent error {difference.latent:.3f}"
        similar = "" if difference.ssim is None else f", SSIM {difference.ssim:.3f}"
        console.print(
            f"against {against}: PSNR {difference.psnr_db:.1f} dB{similar}{latent}, "
            f"{difference.images} images of the same seeds",
            soft_wrap=True,
            markup=False,
        )
    for figure in figures:
        console.print(
            f"{figure.name} {figure.value:.4g} to {figure.against} ({figure.features}, {figure.images} images)",
            soft_wrap=True,
            markup=False,
        )
