"""`nas diffusion sample`: images of prompts and seeds, as one grid or one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion import pipeline as pipelines
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
from nas.cli.commands import emit_json, json_option, progress_bar, result_console
from nas.files import new_folder
from nas.pictures import check_output, grid, write_png


@click.command()
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@pipeline_option
@seed_option
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Images of each prompt."
)
@sampling_options
@click.option(
    "--columns", type=click.IntRange(min=1), default=None, help="Images in a row (default: --count)."
)
@click.option("--single", is_flag=True, help="One PNG an image in a new folder, not a grid.")
@click.option(
    "--zoom",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Show every pixel so many times larger.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="A new .png file, or a new folder with --single.  [default: sample.png or samples]",
)
@device_option
@threads_option
@json_option
def command(
    prompts: tuple[str, ...],
    pipeline: str,
    seed: int,
    count: int,
    columns: int | None,
    single: bool,
    zoom: int,
    output: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make COUNT images of each PROMPT; without one, of all that the pipeline was trained with.

    A pipeline of classes takes their names or numbers for prompts, an unconditional one takes none.

    \b
      nas diffusion sample "a photo of a ship" "a photo of a horse"
      nas diffusion sample --pipeline runs/mine --steps 10 --single --output images

    The same seeds are used for every prompt.
    """

    output = output or Path("samples" if single else "sample.png")
    check_output(output, () if single else (".png",))
    settings = settings_of(options, pipeline)
    loaded = opened_pipeline(pipeline, device, threads)
    asked = asked_prompts(prompts, pipeline, loaded)
    seeds = list(range(seed, seed + count))
    pairs = [(prompt, each) for prompt in asked for each in seeds]
    with progress_bar("images") as advance:
        pictures = pipelines.generate(
            loaded, [p for p, _ in pairs], [s for _, s in pairs], settings, advance=advance
        )
    if single:
        with new_folder(output) as folder:
            for (prompt, each), picture in zip(pairs, pictures, strict=True):
                name = (
                    f"{asked.index(prompt):0{len(str(len(asked) - 1))}}-seed{each:0{len(str(seeds[-1]))}}.png"
                )
                write_png(folder / name, grid(picture[None], zoom=zoom))
    else:
        write_png(output, grid(pictures, columns or count, zoom=zoom))
    name = pipeline_name(pipeline)
    if as_json:
        facts = {"pipeline": name, "prompts": asked, "seeds": seeds, "steps": settings.steps}
        emit_json(
            {"output": output, **facts, "guidance": settings.guidance, "size": list(pictures.shape[1:3])}
        )
        return
    guidance = f", guidance {settings.guidance:g}" if pipelines.is_guided(loaded) else ""
    result_console().print(
        f"wrote {output}: {len(pairs)} images by {name}, {settings.steps} steps{guidance}",
        soft_wrap=True,
        markup=False,
    )
