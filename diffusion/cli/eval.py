"""`nas diffusion eval`: how many images show what was asked for, and how near they are to another pipeline's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

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
from nas.cli._options import json_option
from nas.cli._output import emit_json, progress_bar, result_console


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
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure prompt match: the share of images in which a classifier sees the class that their prompt names.

    \b
      nas diffusion eval --images 1000
      nas diffusion eval --pipeline compressed --against tiny-sd-cifar10

    Without PROMPT, each class is asked for in turn. Images of no class that the classifier knows, such as those of an
    unconditional pipeline, can only be compared. The classifier is our own: it is no CLIP score, and it is wrong
    about some real images too.
    """
    from diffusion import quality
    from nas._errors import UsageError

    theirs = None if against is None else settings_of(dict(options), against)
    settings = settings_of(options, pipeline)
    loaded = opened_pipeline(pipeline, device, threads)
    other = None if against is None else opened_pipeline(against, device, threads)
    judge = quality.classifier(classifier)
    asked = asked_prompts(prompts, pipeline, loaded) if prompts else quality.prompts_for(loaded, judge)
    match = None
    if asked:
        with progress_bar("images") as advance:
            match = quality.evaluate_match(
                loaded, asked, images=images, seed=seed, settings=settings, judge=judge, advance=advance
            )
    elif other is None:
        raise UsageError(
            f"the images of {pipeline} are of no class that {classifier} knows, so that nothing can be judged; name "
            "another pipeline with --against to compare them with"
        )
    difference = None
    if other is not None:
        pairs = quality.prompts_and_seeds(
            asked or asked_prompts((), pipeline, loaded), min(compared, images), seed
        )
        difference = quality.compare(loaded, other, *pairs, settings, other_settings=theirs)
    if as_json:
        emit_json(
            {
                "pipeline": pipeline_name(pipeline),
                "settings": asdict(settings),
                "match": None if match is None else asdict(match),
                "against": None if against is None else pipeline_name(against),
                "difference": None if difference is None else asdict(difference),
            }
        )
        return
    _tell(match, difference, against)


def _tell(match: Any, difference: Any, against: str | None) -> None:
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
