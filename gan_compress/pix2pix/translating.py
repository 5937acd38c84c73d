"""Applying a generator and its subnets to pictures: what each makes of them, how near to the truth, how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gan_compress.pix2pix.apply import (
    contact_sheet,
    find_subnet,
    is_configuration,
    pixels,
    read_whole,
    translate,
    translation_family,
)
from gan_compress.pix2pix.pairs import SAME, get_pairs, psnr
from gan_compress.pix2pix.task import model_pairs
from gan_compress.subnets import AnyModel, SubnetWords, measure_latencies
from nas.api import Result, Table, latency_origin
from nas.export import Latency
from nas.files import new_place
from nas.latency import format_count, format_ms
from nas.models import Model
from nas.pictures import write_pictures, write_png
from nas.progress import Listener
from nas.space import Subnet

DEFAULT_MODEL = "deblur-cifar10"
_WORDS = SubnetWords(
    DEFAULT_MODEL, "a configuration such as 8_8_16_8_8_8_8_8", is_configuration, find_subnet, translation_family
)  # fmt: skip


@dataclass(frozen=True)
class Translated:
    """What one subnet made of one picture.

    Attributes:
        image: The picture's file.
        subnet: What the subnet was called.
        picture: (1, 3, height, width), -1 to 1.
        took_ms: Of this one pass under torch; no measurement.
        psnr_db: To the true picture; None where there is none.
    """

    image: str
    subnet: str
    picture: Tensor
    took_ms: float
    psnr_db: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, without the picture."""
        return {
            "image": self.image,
            "subnet": self.subnet,
            "size": [*self.picture.shape[-2:]],
            "took_ms": self.took_ms,
            "psnr_db": self.psnr_db,
        }


@dataclass(frozen=True)
class TranslatedImage:
    """One picture: what was given, what subnets made of it, and the true picture where there is one."""

    given: Tensor
    made: Sequence[Translated]
    truth: Tensor | None


@dataclass(frozen=True)
class Translation(Result):
    """Pictures that subnets of an image-to-image generator were applied to.

    Attributes:
        model: The generator.
        subnets: By the words that named them.
        images: A picture each.
        latency: Of the subnets at the generator's own size; empty where it was not measured.
        pairs: What the inputs were made by, as it was asked for; None where pictures were given as they are.
        output: The file or folder of the pictures; None where nothing was written.
    """

    model: Model
    subnets: Mapping[str, Subnet]
    images: Sequence[TranslatedImage]
    latency: Mapping[str, Latency]
    pairs: str | None
    output: Path | None = None

    @property
    def made(self) -> list[Translated]:
        """What every subnet made of every picture."""
        return [each for image in self.images for each in image.made]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan translate --json` prints."""
        subnets = {
            name: {
                "subnet": subnet.to_dict(),
                "macs": self.model.supernet.count(subnet).macs,
                "latency": vars(self.latency[name]) if self.latency else None,
            }
            for name, subnet in self.subnets.items()
        }
        found = {"output": self.output and str(self.output), "model": self.model.name, "pairs": self.pairs}
        return {**found, "subnets": subnets, "images": [each.to_dict() for each in self.made]}

    def table(self) -> Table:
        """Return a row for each picture and subnet."""
        compared = self.made[0].psnr_db is not None
        columns = ["image", "size", "subnet", "MACs", "took"]
        columns += (["latency"] if self.latency else []) + (["PSNR"] if compared else [])
        rows = []
        for each in self.made:
            height, width = each.picture.shape[-2:]
            macs = format_count(self.model.supernet.count(self.subnets[each.subnet]).macs)
            row = [Path(each.image).name, f"{width} × {height}", each.subnet, macs, format_ms(each.took_ms)]
            row += [format_ms(self.latency[each.subnet].median_ms)] if self.latency else []
            rows.append([*row, f"{each.psnr_db:.2f} dB"] if compared else row)
        return Table(columns, rows, ("image", "size", "subnet"))

    @property
    def remarks(self) -> Sequence[str]:
        """What the figures are of, and where the pictures are."""
        side = translation_family(self.model).resolution
        which = f"MACs{' and latency' if self.latency else ''}"
        said = [f"{which} are for {side} × {side} pixels; took: torch, the picture, once"]
        said += [f"latency: {latency_origin(each)}" for each in [*self.latency.values()][:1]]
        return [*said, *([] if self.output is None else [f"wrote {self.output}"])]

    def write(self, output: Path, zoom: int = 1) -> None:
        """Write one picture, a sheet with a row for each image, or (without a suffix) a folder of pictures."""
        several = len(self.images) > 1
        if not output.suffix:
            names = [
                "-".join([Path(each.image).stem, *([str(number)] if several else []),
                          *([str(place)] if len(image.made) > 1 else [])])
                for number, image in enumerate(self.images)
                for place, each in enumerate(image.made)
            ]  # fmt: skip
            write_pictures(output, [pixels(each.picture) for each in self.made], names, zoom=zoom)
            return
        rows = []
        for image in self.images:
            made = [pixels(each.picture) for each in image.made]
            alone = not several and len(made) == 1 and image.truth is None
            truth = [] if image.truth is None else [pixels(image.truth)]
            rows.append(made if alone else [pixels(image.given), *made, *truth])
        write_png(output, contact_sheet(rows, zoom=zoom))


def translate_pictures(
    images: Sequence[str | Path],
    model: AnyModel = None,
    subnets: Sequence[str] = ("largest",),
    output: str | Path | None = None,
    *,
    pairs: str | None = None,
    size: int | None = None,
    measured: bool = True,
    runtime: str | None = None,
    threads: int = 1,
    zoom: int = 1,
    progress: Listener | None = None,
) -> Translation:
    """Apply an image-to-image generator, or some of its subnets, to pictures.

    Args:
        images: Files of pictures, of 16 to 2,048 pixels a side.
        model: A generator, its name or folder; None for a run's, or the default.
        subnets: "largest", "smallest", a configuration such as "8_8_16_8_8_8_8_8", a run's folder, a subnet.json.
        output: A new .png file for one picture or a sheet, or a new folder; None writes nothing.
        pairs: Make the input of each picture, which is then the true one: "blur", "grey", "small", or "auto" for what
            the model was trained for.
        size: Pixels of the longer side; None for the picture's own.
        measured: Whether the subnets' latencies are measured.
        runtime: What measures them; None for this machine's default.
        threads: That run a network.
        zoom: Every pixel is shown so many times larger.
        progress: Hears the measuring.

    Raises:
        UsageError: No picture, an unknown model, subnet or pairs, an output that exists.
    """
    path = new_place(output, (".png",) if Path(output or "").suffix else ())
    loaded, found = _WORDS.open(model, subnets)
    chosen = model_pairs(loaded) if pairs == "auto" else pairs
    degrade = get_pairs(chosen) if chosen not in (None, SAME) else None
    networks = {name: loaded.extract(subnet) for name, subnet in found.items()}
    done = []
    for image in images:
        picture = read_whole(image, size)
        given, truth = (degrade(picture), picture) if degrade else (picture, None)
        made = [_translated(image, *named, loaded, given, truth) for named in networks.items()]
        done.append(TranslatedImage(given, made, truth))
    latency = measure_latencies(
        loaded, networks, found, runtime=runtime, threads=threads, progress=progress
    ) if measured else {}  # fmt: skip
    translation = Translation(loaded, found, done, latency, pairs, path)
    if path is not None:
        translation.write(path, zoom)
    return translation


def _translated(
    image: str | Path, name: str, network: nn.Module, model: Model, given: Tensor, truth: Tensor | None
) -> Translated:
    picture, took_ms = translate(network, translation_family(model), given)
    return Translated(
        str(image), name, picture, took_ms, None if truth is None else float(psnr(picture, truth))
    )
