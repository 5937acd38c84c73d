"""`nas diffusion`: what people do with a diffusion pipeline. Help and completion import no command, and no torch."""

from __future__ import annotations

import click

from nas.cli.commands import LazyGroup

# name -> (module that defines `command`, short help); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "sample": ("diffusion.cli.sample", "Make images of prompts and seeds."),
    "compare": ("diffusion.cli.compare", "Pipelines side by side: pictures, time, memory, likeness."),
    "eval": ("diffusion.cli.eval", "Prompt match, and the distance to another pipeline's images."),
    "train": ("diffusion.cli.train", "Train a text-to-image pipeline."),
    "distill": ("diffusion.cli.distil", "Make every subnet of a pipeline work, or one."),
    "prune": ("diffusion.cli.prune", "Make a smaller pipeline of a trained one."),
    "quantize": ("diffusion.cli.quantize", "Measure what fewer bits cost and save."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    name="diffusion",
    short_help="Sample, train and evaluate diffusion pipelines.",
)
def group() -> None:
    """Sample, train and evaluate diffusion pipelines.

    \b
      nas diffusion sample "a photo of a ship"     images by the shipped pipeline
      nas diffusion eval                           how many of its images show what was asked for

    PIPELINE is the name of a shipped pipeline, a folder that diffusers saved, or a hub id.
    """
