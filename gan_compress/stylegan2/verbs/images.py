"""Images of seeds: as a grid, on the way from one to the next, and with more or less of a label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_compress.pictures import write_frames
from gan_compress.stylegan2.edit import Directions
from gan_compress.stylegan2.generate import (
    class_index,
    generator_family,
    interpolate,
    load_generator,
    synthesize,
    to_pixels,
)
from gan_compress.stylegan2.tensors import model_of
from gan_compress.stylegan2.verbs.subnets import asked_styles, class_name, open_generator, subnet_words
from gan_compress.subnets import AnyModel
from nas.errors import UsageError
from nas.files import new_place
from nas.pictures import MadePictures, grid, write_pictures

MOVING = (".gif", ".apng", ".png")
"""What files of several pictures may end in; PNG is a strip."""


def sample_images(
    model: AnyModel = None,
    subnet: str = "largest",
    output: str | Path | None = None,
    *,
    seed: int = 0,
    count: int = 16,
    label: str | None = None,
    truncation: float = 1.0,
    columns: int | None = None,
    single: bool = False,
    zoom: int = 1,
) -> MadePictures:
    """Make images of consecutive seeds.

    Args:
        model: A generator, its name or folder; None for the run's, or the default.
        subnet: What makes the images, as `open_generator` takes it.
        output: A new .png file, or with `single` a new folder; None writes nothing.
        seed: Of the first image.
        count: How many.
        label: A class's name or number; None for all classes in turn.
        truncation: How far from the mean of the class: 1 not at all nearer, 0 the mean itself.
        columns: Images in a row; None for a square.
        single: Write one PNG an image, not a grid.
        zoom: Every pixel is shown so many times larger.

    Raises:
        UsageError: An unknown model, subnet or class; an output that exists.
    """
    path = new_place(output, () if single else (".png",))
    loaded, found = open_generator(model, subnet)
    chosen = None if label is None else class_index(loaded, label)
    network = load_generator(loaded, found[subnet])
    seeds = range(seed, seed + count)
    pixels = to_pixels(
        loaded, synthesize(network, asked_styles(loaded, network, seeds, [chosen] * count, truncation))
    )
    if path is not None:
        digits = len(str(seeds[-1]))
        names = [f"seed{each:0{digits}}" for each in seeds] if single else None
        write_pictures(path, pixels, names, columns=columns, zoom=zoom)
    facts = {
        "model": loaded.name, "subnet": found[subnet].to_dict(), "seeds": [*seeds],
        "class": class_name(loaded, chosen), "truncation": truncation, "size": pixels.shape[1],
    }  # fmt: skip
    words = f"{count} images of {loaded.name}, {subnet} ({subnet_words(loaded, found[subnet])})"
    return MadePictures(pixels, path, facts, words)


def interpolate_images(
    model: AnyModel = None,
    subnet: str = "largest",
    output: str | Path | None = None,
    *,
    seeds: Sequence[int] = (),
    labels: Sequence[str] = (),
    truncation: float = 1.0,
    frames: int = 12,
    loop: bool = False,
    frames_per_second: float = 10.0,
    zoom: int = 1,
) -> MadePictures:
    """Move through style space in straight lines: between seeds, between classes, or both at once.

    Args:
        model: A generator, its name or folder; None for the run's, or the default.
        subnet: What makes the images.
        output: A new file: .gif and .apng move, .png is a strip; None writes nothing.
        seeds: Of the ends; none for two seeds, or for one where there are classes.
        labels: Classes of the ends, by name or number; of seeds and classes one may stay the same.
        truncation: How far from the mean of the class.
        frames: Pictures from one end to the next.
        loop: Go back to the first.
        frames_per_second: Of a moving picture.
        zoom: Every pixel is shown so many times larger.

    Raises:
        UsageError: Seeds and classes that do not go together, and as `sample_images`.
    """
    path = new_place(output, MOVING)
    points, names = _key_points(seeds, labels)
    loaded, found = open_generator(model, subnet)
    chosen = [None if name is None else class_index(loaded, name) for name in names]
    network = load_generator(loaded, found[subnet])
    ends = asked_styles(loaded, network, points, chosen, truncation)
    pixels = to_pixels(loaded, synthesize(network, interpolate(ends, frames, loop=loop)))
    if path is not None:
        shown = [grid(picture[None], zoom=zoom) for picture in pixels]
        write_frames(path, shown, frames_per_second=frames_per_second)
    facts = {
        "model": loaded.name, "subnet": found[subnet].to_dict(), "seeds": points,
        "classes": [class_name(loaded, index) for index in chosen], "truncation": truncation,
        "frames": len(pixels),
    }  # fmt: skip
    words = f"{len(pixels)} pictures of {loaded.name}, {subnet} ({subnet_words(loaded, found[subnet])})"
    return MadePictures(pixels, path, facts, words)


def _key_points(seeds: Sequence[int], labels: Sequence[str]) -> tuple[list[int], list[str | None]]:
    """Return as many seeds as classes: one of them may stay the same; raises `UsageError` for other numbers."""
    seeds = seeds or ((0,) if len(labels) > 1 else (0, 1))
    count = max(len(seeds), len(labels))
    if count < 2 or len(seeds) not in (1, count) or len(labels) not in (0, 1, count):
        raise UsageError(
            f"{len(seeds)} seeds and {len(labels)} classes were given; give two seeds or two classes or more, and of "
            "the other kind one or as many"
        )
    points = [*seeds] * (count // len(seeds))
    return points, [*labels] * (count // len(labels)) if labels else [None] * count


def edit_images(
    direction: str,
    model: AnyModel = None,
    subnets: Sequence[str] = ("largest",),
    output: str | Path | None = None,
    *,
    amounts: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0),
    projection: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    label: str | None = None,
    truncation: float = 1.0,
    directions: str | Path | None = None,
    frames_per_second: float = 10.0,
    zoom: int = 1,
) -> MadePictures:
    """Move the images of seeds, or of a projected picture, towards a label: a column an amount, a row a subnet.

    Args:
        direction: The label.
        model: A generator, its name or folder; None for the projection's, a run's, or the default.
        subnets: What makes the images, as `open_generator` takes it.
        output: A new file: .png is a strip, .gif and .apng move; None writes nothing.
        amounts: How far, in standard deviations of the label's score.
        projection: A file that `project_picture` wrote, in the place of seeds.
        seeds: Of the images.
        label: Their class, by name or number.
        truncation: How far from the mean of the class.
        directions: Another file of directions than the model's.
        frames_per_second: Of a moving picture.
        zoom: Every pixel is shown so many times larger.

    Raises:
        UsageError: An unknown direction, a projection of another model, and as `sample_images`.
    """
    path = new_place(output, MOVING)
    if projection is not None:
        model = model or model_of(projection)
    loaded, found = open_generator(model, *subnets)
    known = Directions.load(loaded, directions)
    fit = float(known.fits[known.index(direction)])
    chosen = None if label is None else class_index(loaded, label)
    full = load_generator(loaded, loaded.space.largest())
    styles = asked_styles(loaded, full, seeds, [chosen] * len(seeds), truncation, projection=projection)
    networks = [load_generator(loaded, subnet) for subnet in found.values()]
    size = generator_family(loaded).resolution
    frames = []
    for amount in amounts:
        moved = known.apply(styles, direction, amount)
        made = [to_pixels(loaded, synthesize(network, moved), size) for network in networks]
        column = [picture for of_style in zip(*made, strict=True) for picture in of_style]
        frames.append(grid(column, 1, zoom=zoom))
    if path is not None:
        write_frames(path, frames, frames_per_second=frames_per_second)
    facts: dict[str, Any] = {
        "model": loaded.name, "subnets": {name: each.to_dict() for name, each in found.items()},
        "direction": direction, "fit": fit, "amounts": [*amounts],
        "projection": None if projection is None else str(projection),
        "seeds": None if projection is not None else [*seeds],
    }  # fmt: skip
    words = f"{direction} by {', '.join(f'{amount:+g}' for amount in amounts)} standard deviations"
    below = f"rows: {', '.join(subnets)}; the direction's fit is R² {fit:.2f}"
    return MadePictures(np.stack(frames), path, facts, words, (below,))
