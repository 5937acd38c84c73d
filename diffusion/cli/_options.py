"""What the commands of `nas diffusion` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion import pipeline as pipelines
from diffusion.pipeline.files.folder import DENOISERS, find_pipeline, load_pipeline, read_info, shipped
from nas.cli.commands import given_data, log
from nas.errors import UsageError

if TYPE_CHECKING:
    from diffusion.pipeline.sampling.generate import SamplingSettings
    from nas.data.dataset import Data

DEFAULT_PIPELINE = "tiny-sd-cifar10"
_MOST = 2**32 - 1

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(0, _MOST), default=0, show_default=True, help="Same seed, same image."
)
device_option: Decorator = click.option(
    "--device", metavar="cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where the pipeline runs."
)
threads_option: Decorator = click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Default: all cores."
)


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --steps, --guidance, --negative and --rescale; hand their values to `settings_of`."""
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


def settings_of(options: dict[str, Any], pipeline: str) -> SamplingSettings:
    """Take the values of `sampling_options` out of `options`; what was not given is the pipeline's own."""

    given = {name: options.pop(name) for name in ("steps", "guidance", "negative", "rescale")}
    if remark := pipelines.remarks(pipeline):
        log(remark)
    return pipelines.own_settings(pipeline, **given)


def opened_pipeline(spec: str, device: str, threads: int | None) -> Any:
    """Load a pipeline for a command."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    return load_pipeline(spec, device=device, denoisers=DENOISERS)


def default_prompts(spec: str) -> list[str]:
    """Return the prompts that a pipeline was trained with, as it says; raises `UsageError` where it does not."""

    prompts = read_info(find_pipeline(spec)).get("prompts", [])
    if not prompts:
        raise UsageError(f'{spec} does not say what it knows; give a prompt, such as "a photo of a ship"')
    return [str(prompt) for prompt in prompts]


def asked_prompts(prompts: Sequence[str], spec: str, pipeline: Any) -> list[str]:
    """Return the prompts or classes to make images of: those given, or those that the pipeline was trained with.

    An unconditional pipeline has the empty one alone. Raises `UsageError` for what the pipeline does not take.
    """

    if pipelines.is_conditional(pipeline):
        return list(prompts) or default_prompts(spec)
    if pipelines.takes_classes(pipeline):
        return list(prompts) or _default_classes(spec, pipeline)
    if prompts:
        raise UsageError(f"{spec} is unconditional, but the prompt {prompts[0]!r} is given; leave it out")
    return [""]


def _default_classes(spec: str, pipeline: Any) -> list[str]:

    known = [str(prompt) for prompt in read_info(find_pipeline(spec)).get("prompts", [])]
    return known or pipelines.some_classes(int(pipeline.transformer.config.num_embeds_ada_norm))


def pipeline_name(spec: str) -> str:
    """Return a pipeline's name for readers."""

    folder = find_pipeline(spec)
    return str(read_info(folder).get("name", Path(spec).name))


def captioned_data(options: dict[str, Any]) -> tuple[Data, bool]:
    """Take the data options and --caption-column out of `options`; returns the data and whether they bring captions."""

    data, found = pipelines.open_described(
        **(given_data(options) or {}), caption_column=options.pop("caption_column")
    )
    return data, found["described"]


caption_option: Decorator = click.option(
    "--caption-column",
    metavar="NAME",
    default=None,
    help="metadata.jsonl and parquet: where the captions are (default: text, or caption).",
)
