"""Images of prompts and seeds as files: one grid, or one picture each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion.pipeline.sampling.generate import generate, is_guided
from diffusion.pipeline.sampling.opened import open_pipeline
from nas.files import new_place
from nas.pictures import MadePictures, write_pictures
from nas.progress import Listener, as_progress


def sample_images(
    pipeline: str | Path,
    prompts: Sequence[str] = (),
    output: str | Path | None = None,
    *,
    seed: int = 0,
    count: int = 8,
    columns: int | None = None,
    single: bool = False,
    zoom: int = 1,
    device: str = "cpu",
    threads: int | None = None,
    progress: Listener | None = None,
    **sampling: Any,
) -> MadePictures:
    """Make images of prompts; the same seeds are used for every prompt.

    Args:
        pipeline: A shipped pipeline's name, a folder that diffusers saved, a training's run, or a hub id.
        prompts: Texts; names or numbers for a pipeline of classes; none for all that it was trained with.
        output: A new .png file, or with `single` a new folder; None writes nothing.
        seed: Of the first image of each prompt; the others follow.
        count: Images of each prompt.
        columns: Images in a row; None for `count`.
        single: Write one PNG an image, not a grid.
        zoom: Every pixel is shown so many times larger.
        device: Where the pipeline runs.
        threads: Of torch; None leaves them as they are.
        progress: Hears how many images there are.
        **sampling: Of `SamplingSettings`: steps, guidance, negative, rescale; None for the pipeline's own.

    Raises:
        UsageError: An unknown pipeline, a prompt that it does not take, an output that exists.
    """
    path = new_place(output, () if single else (".png",))
    opened = open_pipeline(pipeline, device=device, threads=threads, progress=progress, **sampling)
    asked, seeds, settings = opened.prompts(prompts), list(range(seed, seed + count)), opened.settings
    pairs = [(place, each) for place in range(len(asked)) for each in seeds]
    pictures = generate(
        opened.pipeline, [asked[place] for place, _ in pairs], [each for _, each in pairs], settings,
        advance=as_progress(progress).steps("images"),
    )  # fmt: skip
    if path is not None:
        digits = len(str(len(asked) - 1)), len(str(seeds[-1]))
        names = [f"{place:0{digits[0]}}-seed{each:0{digits[1]}}" for place, each in pairs]
        write_pictures(path, pictures, names if single else None, columns=columns or count, zoom=zoom)
    facts = {
        "pipeline": opened.name, "prompts": asked, "seeds": seeds, "steps": settings.steps,
        "guidance": settings.guidance, "size": list(pictures.shape[1:3]),
    }  # fmt: skip
    guidance = f", guidance {settings.guidance:g}" if is_guided(opened.pipeline) else ""
    words = f"{len(pairs)} images by {opened.name}, {settings.steps} steps{guidance}"
    return MadePictures(pictures, path, facts, words)
