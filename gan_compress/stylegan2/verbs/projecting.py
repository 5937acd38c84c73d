"""Finding the style of a picture, and showing what generators make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_compress.pictures import read_picture
from gan_compress.stylegan2.generate import (
    class_index,
    generator_family,
    load_generator,
    synthesize,
    to_pixels,
)
from gan_compress.stylegan2.projection import Projection, ProjectionSettings, project
from gan_compress.stylegan2.verbs.subnets import open_generator
from gan_compress.subnets import AnyModel
from nas.api import Result, Table
from nas.files import new_place, replacing
from nas.pictures import grid, write_png
from nas.progress import Listener, as_progress

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ProjectedPicture(Result):
    """A picture as generators show it.

    Attributes:
        image: The picture's file.
        projection: Its style, and how near each generator comes.
        pictures: The picture, then what each generator makes of the style: uint8 (height, width, 3).
        output: The file of the style, which `edit_images` takes; None where nothing was written.
        contact_sheet: The PNG of `pictures` beside it.
    """

    image: str
    projection: Projection
    pictures: Sequence[np.ndarray]
    output: Path | None = None

    @property
    def contact_sheet(self) -> Path | None:
        """The PNG of `pictures`, beside `output`."""
        return None if self.output is None else self.output.with_suffix(".png")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan project --json` prints."""
        files = {
            "output": self.output and str(self.output),
            "picture": self.output and str(self.contact_sheet),
        }
        fits = [vars(fit) for fit in self.projection.fits]
        return {**files, "image": self.image, **self.projection.info, "fits": fits}

    def table(self) -> Table:
        """Return a row for each generator."""
        fits = self.projection.fits
        rows = [[fit.network, f"{fit.distance:.4f}", f"{fit.pixel_error:.4f}"] for fit in fits]
        distance = f"distance ({self.projection.info['features']} features)"
        return Table(("generator", distance, "pixel error"), rows)

    @property
    def remarks(self) -> Sequence[str]:
        """Where the search started, and where the files are."""
        start = self.projection.info["class"]
        said = [] if start is None else [f"started in class {start}"]
        if self.output is None:
            return said
        return [
            *said,
            f"wrote {self.output}, and {self.contact_sheet}: the picture, then each generator's image",
        ]


def project_picture(
    image: str | Path,
    model: AnyModel = None,
    subnets: Sequence[str] = (),
    output: str | Path | None = None,
    *,
    label: str | None = None,
    seed: int = 0,
    settings: ProjectionSettings | None = None,
    progress: Listener | None = None,
) -> ProjectedPicture:
    """Find the style that gives a picture, by the full generator and by each of some subnets.

    Args:
        image: The picture's file; its middle square is taken.
        model: A generator, its name or folder; None for a run's, or the default.
        subnets: Small generators that shall show it too, as `open_generator` takes them.
        output: A new .safetensors file, beside which a .png compares; None writes nothing.
        label: The class to start in, by name or number; None for the nearest.
        seed: Of the search.
        settings: How long and for what to search.
        progress: Hears the steps.

    Raises:
        UsageError: No picture, an unknown model, subnet or class, a file that exists.
        NasError: A loss that is no longer finite.
    """
    path = new_place(output, (SUFFIX,))
    contact_sheet = new_place(None if path is None else path.with_suffix(".png"))
    loaded, found = open_generator(model, *subnets)
    size = generator_family(loaded).resolution
    picture = read_picture(image, size)
    chosen = None if label is None else class_index(loaded, label)
    steps = as_progress(progress).steps("projecting")
    result = project(loaded, picture, found, label=chosen, seed=seed, settings=settings, progress=steps)
    networks = [load_generator(loaded, subnet) for subnet in (loaded.space.largest(), *found.values())]
    target = (picture[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    made = [to_pixels(loaded, synthesize(network, result.styles), size)[0] for network in networks]
    done = ProjectedPicture(str(image), result, [target, *made], path)
    if path is not None and contact_sheet is not None:
        with replacing(contact_sheet) as beside:  # both files or none
            write_png(beside, grid(done.pictures, len(done.pictures)))
            result.save(path)
    return done
