"""How good subnets are: beside the full generator, beside real images; and the directions of labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gan_compress.stylegan2.consistency import Consistency, Labelled, measure_consistency, uniform_subnets
from gan_compress.stylegan2.edit import FILE, Directions, find_directions
from gan_compress.stylegan2.fidelity import EXTRACTOR, Fidelity, measure_fidelity
from gan_compress.stylegan2.task import resolution_of
from gan_compress.stylegan2.verbs.subnets import open_generator, subnet_words
from gan_compress.subnets import AnyModel
from nas.api import Result, Table, opened
from nas.api.data import AnyData
from nas.data.images import real_images
from nas.errors import UsageError
from nas.files import new_place, replacing
from nas.latency import format_count
from nas.metrics.features import DEFAULT
from nas.models import Model
from nas.progress import Listener, as_progress
from nas.space import Subnet


@dataclass(frozen=True)
class ConsistencyReport(Result):
    """How well subnets keep the full generator's images.

    Attributes:
        model: The generator's name.
        samples: Images of each subnet.
        rows: A subnet each.
        output: The CSV file of the rows; None where nothing was written.
    """

    model: str
    samples: int
    rows: Sequence[Consistency]
    output: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan consistency --json` prints."""
        return {"model": self.model, "samples": self.samples, "subnets": [asdict(row) for row in self.rows]}

    def table(self) -> Table:
        """Return a row for each subnet; columns that nothing is known for are left out."""
        columns = ["subnet", "MACs", "distance", "pixel error", "path length", "spread"]
        cells = [
            [
                row.name, format_count(row.macs), f"{row.distance:.4f}", f"{row.pixel_error:.4f}",
                f"{row.path_length:.3g}", f"{row.path_spread:.2f}",
                *([] if row.agreement is None else [f"{row.agreement:.1%}"]),
                *([] if row.kid is None else [f"{row.kid:.2f}"]),
            ]
            for row in self.rows
        ]  # fmt: skip
        columns += [] if self.rows[0].agreement is None else ["same label"]
        columns += [] if self.rows[0].kid is None else ["KID × 1000"]
        return Table(columns, cells, ("subnet",))

    @property
    def remarks(self) -> Sequence[str]:
        """What the figures are in, and where the table is."""
        said = f"distance, path length and KID in {DEFAULT} features; all beside the full generator's images"
        return [said, *([] if self.output is None else [f"wrote {self.output}"])]

    def write_csv(self, path: str | Path) -> None:
        """Write the rows as CSV."""
        with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(self.rows[0])), lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                values = asdict(row).items()
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values})


def compare_subnets(
    model: AnyModel = None,
    subnets: Sequence[str] = (),
    data: AnyData | None = None,
    output: str | Path | None = None,
    *,
    samples: int = 500,
    limit: int = 2000,
    progress: Listener | None = None,
) -> ConsistencyReport:
    """Compare the images of subnets with the full generator's.

    Args:
        model: A generator, its name or folder; None for a run's, or the default.
        subnets: As `open_generator` takes them; none for every width at every resolution.
        data: Real images, for the kernel distance to them and, where they have labels, for the share of images whose
            label a classifier does not change.
        output: A new .csv file for the table; None writes nothing.
        samples: Images of each subnet, at least 2.
        limit: Real images at most.
        progress: Hears how many subnets are compared.

    Raises:
        UsageError: An unknown model or subnet, a file that exists, data that do not fit.
    """
    path = new_place(output, (".csv",))
    loaded, found = open_generator(model, *subnets)
    labelled = None
    if (known := opened(data)) is not None:
        real = real_images(known, resolution_of(loaded), limit=limit)
        labelled = Labelled(real.pixels, real.labels, tuple(known.classes))
    steps = as_progress(progress).steps("comparing")
    rows = measure_consistency(
        loaded, found or uniform_subnets(loaded), labelled, count=samples, progress=steps
    )
    report = ConsistencyReport(loaded.name, samples, rows, path)
    if path is not None:
        report.write_csv(path)
    return report


@dataclass(frozen=True)
class FidelityReport(Result):
    """FID and KID of a subnet's images against real ones."""

    model: Model
    subnet: Subnet
    figures: Fidelity

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan fidelity --json` prints."""
        return {"model": self.model.name, "subnet": self.subnet.to_dict(), **asdict(self.figures)}

    def table(self) -> Table:
        """Return both figures."""
        rows = [("FID", f"{self.figures.fid:.2f}"), ("KID × 1000", f"{self.figures.kid:.2f}")]
        return Table(("", f"{self.figures.features} features"), rows)

    def tables(self) -> Sequence[Table]:
        return ()

    @property
    def remarks(self) -> Sequence[str]:
        """The figures, and of what they are."""
        found = self.figures
        return [
            f"FID {found.fid:.2f}, KID × 1000 {found.kid:.2f} ({found.features} features)",
            f"{subnet_words(self.model, self.subnet)}; {found.generated} images against {found.real} of the data",
        ]


def evaluate_fidelity(
    data: AnyData,
    model: AnyModel = None,
    subnet: str = "largest",
    *,
    samples: int = 10_000,
    weights: str | Path | None = None,
    extractor: str = EXTRACTOR,
) -> FidelityReport:
    """Measure FID and KID of a subnet's images as papers report them, in Inception's features.

    Args:
        data: Real images: the training images are compared with.
        model: A generator, its name or folder; None for the run's, or the default.
        subnet: As `open_generator` takes it.
        samples: Images to generate.
        weights: Inception's file as torch-fidelity has it; None downloads it once.
        extractor: Which features.

    Raises:
        UsageError: torch-fidelity is missing; an unknown model or subnet.
        NasError: The weights cannot be had.
    """
    loaded, found = open_generator(model, subnet)
    real = opened(data)
    assert real is not None
    figures = measure_fidelity(
        loaded, found[subnet], real, count=samples, weights=weights, extractor=extractor
    )
    return FidelityReport(loaded, found[subnet], figures)


@dataclass(frozen=True)
class DirectionsReport(Result):
    """The directions of labels in a generator's style space; `output` is where new ones were written."""

    model: str
    directions: Directions
    output: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas gan directions --json` prints."""
        listed = [{"label": label, "scale": scale, "fit": fit} for label, scale, fit in self._rows()]
        found = {"output": self.output and str(self.output), "model": self.model}
        return {**found, **self.directions.info, "directions": listed}

    def _rows(self) -> list[tuple[str, float, float]]:
        found = self.directions
        return [*zip(found.labels, found.scales.tolist(), found.fits.tolist(), strict=True)]

    def table(self) -> Table:
        """Return a row for each label."""
        rows = [[label, f"{scale:.3f}", f"{fit:.2f}"] for label, scale, fit in self._rows()]
        return Table(("direction", "step", "fit (R²)"), rows)

    @property
    def remarks(self) -> Sequence[str]:
        """What they were found from, and where they are."""
        info = self.directions.info
        said = f"from {info['images']} images of {info['data']}, {info['features']} features"
        return [said, *([] if self.output is None else [f"wrote {self.output}"])]


def label_directions(
    model: AnyModel = None,
    data: AnyData | None = None,
    output: str | Path | None = None,
    *,
    limit: int = 5000,
    samples: int = 2000,
    seed: int = 0,
    progress: Listener | None = None,
) -> DirectionsReport:
    """Find for every label of the data the direction in style space that gives images more of it.

    Args:
        model: A generator, its name or folder; None for the default.
        data: Labelled images; None reads the directions that the model has.
        output: A new .safetensors file; None for that in the model's folder.
        limit: Labelled images at most.
        samples: Images to generate and score.
        seed: Of these.
        progress: Hears how many images are scored.

    Raises:
        UsageError: No data and no directions, a file that exists, data with fewer than two labels.
    """
    loaded, _ = open_generator(model)
    known = opened(data)
    if known is None:
        if output is not None:
            raise UsageError(
                f"--output {output} was given without data to find directions from; name some with --data"
            )
        return DirectionsReport(loaded.name, Directions.load(loaded))
    path = new_place(loaded.path / FILE if output is None else output, (".safetensors",))
    real = real_images(known, resolution_of(loaded), limit=limit)
    steps = as_progress(progress).steps("scoring")
    found = find_directions(
        loaded, real.pixels, real.labels, known.classes, samples=samples, seed=seed, data=known.name, progress=steps
    )  # fmt: skip
    found.save(path)
    return DirectionsReport(loaded.name, found, path)
