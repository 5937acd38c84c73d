"""The same image by a small subnet and by the full generator: how long each takes, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gan_compress.stylegan2.generate import class_index, difference, load_generator, synthesize, to_pixels
from gan_compress.stylegan2.verbs.subnets import asked_styles, class_name, open_generator, subnet_words
from gan_compress.subnets import AnyModel, measure_latencies
from nas.api import Result, Table, latency_origin
from nas.export import Latency
from nas.files import new_folder, new_place
from nas.latency import format_count, format_ms
from nas.metrics.features import DEFAULT
from nas.models import Model
from nas.pictures import write_png
from nas.progress import Listener
from nas.space import Subnet

PARTS: tuple[str, ...] = ("preview", "final")


@dataclass(frozen=True)
class Preview(Result):
    """One image by a cheap subnet ("preview") and by the full generator ("final").

    Attributes:
        model: The generator.
        subnets: Of both parts, by part; `names` what they were called.
        pictures: uint8 (height, width, 3), by part.
        latency: Of one image, by part, measured side by side; empty where it was not measured.
        distance: Feature distance of the preview, enlarged, to the final image.
        pixel_error: Root mean squared error of pixels from 0 to 1.
        facts: Seed, class and truncation.
        output: The folder of preview.png and final.png; None where nothing was written.
    """

    model: Model
    subnets: Mapping[str, Subnet]
    names: Mapping[str, str]
    pictures: Mapping[str, np.ndarray]
    latency: Mapping[str, Latency]
    distance: float
    pixel_error: float
    facts: Mapping[str, Any]
    output: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan preview --json` prints."""
        parts = {
            part: {
                "subnet": subnet.to_dict(),
                "macs": self.model.supernet.count(subnet).macs,
                "latency": vars(self.latency[part]) if self.latency else None,
            }
            for part, subnet in self.subnets.items()
        }
        found = {"output": self.output and str(self.output), "model": self.model.name, **self.facts, **parts}
        return {
            **found, "distance": self.distance, "features": DEFAULT, "pixel_error": self.pixel_error,
        }  # fmt: skip

    def table(self) -> Table:
        """Return a row for each part."""
        rows = []
        for part, subnet in self.subnets.items():
            macs = format_count(self.model.supernet.count(subnet).macs)
            latency = [format_ms(self.latency[part].median_ms)] if self.latency else []
            rows.append([part, self.names[part], subnet_words(self.model, subnet), macs, *latency])
        columns = ["", "subnet", "size", "MACs", *(["latency"] if self.latency else [])]
        return Table(columns, rows, ("subnet", "size"))

    @property
    def remarks(self) -> Sequence[str]:
        """How the latencies were found, their ratio, how much the images differ, and where they are."""
        said = []
        if self.latency:
            small, full = (self.latency[part] for part in PARTS)
            said.append(f"latency: {latency_origin(full)}")
            ratio = full.median_ms / small.median_ms
            said.append(f"the final image takes {ratio:.1f}× as long as the preview")
        near = (
            f"feature distance {self.distance:.4f} ({DEFAULT} features), pixel error {self.pixel_error:.4f}"
        )
        wrote = [] if self.output is None else [f"wrote {self.output}/preview.png and final.png"]
        return [*said, near, *wrote]


def preview_image(
    model: AnyModel = None,
    subnet: str = "0.25",
    output: str | Path | None = None,
    *,
    seed: int = 0,
    label: str | None = None,
    truncation: float = 1.0,
    measured: bool = True,
    runtime: str | None = None,
    threads: int = 1,
    progress: Listener | None = None,
) -> Preview:
    """Make one seed's image by a cheap subnet and in full quality.

    Args:
        model: A generator, its name or folder; None for the run's, or the default.
        subnet: What makes the preview, as `open_generator` takes it.
        output: A new folder for preview.png and final.png; None writes nothing.
        seed: Of the image.
        label: Its class, by name or number; None for the one that follows from the seed.
        truncation: How far from the mean of the class.
        measured: Whether both latencies are measured.
        runtime: What measures them; None for this machine's default.
        threads: That run a network.
        progress: Hears the measuring.

    Raises:
        UsageError: An unknown model, subnet or class; a folder that exists.
    """
    path = new_place(output)
    names = dict(zip(PARTS, (subnet, "largest"), strict=True))
    loaded, found = open_generator(model, *names.values())
    subnets = {part: found[name] for part, name in names.items()}
    chosen = None if label is None else class_index(loaded, label)
    networks = {part: load_generator(loaded, each) for part, each in subnets.items()}
    style = asked_styles(loaded, networks["final"], [seed], [chosen], truncation)
    images = {part: synthesize(network, style) for part, network in networks.items()}
    distance, error = difference(loaded, *images.values())
    latency = measure_latencies(
        loaded, networks, subnets, runtime=runtime, threads=threads, progress=progress
    ) if measured else {}  # fmt: skip
    pictures = {part: to_pixels(loaded, image)[0] for part, image in images.items()}
    if path is not None:
        with new_folder(path) as folder:
            for part, picture in pictures.items():
                write_png(folder / f"{part}.png", picture)
    facts = {"seed": seed, "class": class_name(loaded, chosen), "truncation": truncation}
    return Preview(loaded, subnets, names, pictures, latency, distance, error, facts, path)
