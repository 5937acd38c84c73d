"""Comparing pipelines by what names them: one table and one picture, and each image as a file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.evaluation.candidates import read_candidates
from diffusion.evaluation.comparison import PipelineComparison, Row
from diffusion.evaluation.comparison_figure import draw_contact_sheet
from diffusion.evaluation.task import prompts_of
from nas.api import Result, Table
from nas.files import new_folder, new_place
from nas.latency import Workload, chosen_runtime, format_bytes, format_ms, machine_fingerprint
from nas.pictures import write_png
from nas.progress import Listener, as_progress

_COLUMNS = (
    "", "steps", "guidance", "an image", "memory", "on disk", "PSNR", "SSIM", "latent error", "prompt match",
)  # fmt: skip


@dataclass(frozen=True)
class ComparedPipelines(Result):
    """Pipelines side by side.

    Attributes:
        comparison: What was compared, and how.
        rows: What was found of each; images are compared with the first's.
        machine: What measured.
        output: The picture of all; None where nothing was written.
    """

    comparison: PipelineComparison
    rows: Sequence[Row]
    machine: str
    output: Path | None = None

    @property
    def failures(self) -> list[Row]:
        """The pipelines that failed."""
        return [row for row in self.rows if row.failure]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas diffusion compare --json` prints."""
        comparison, (prompts, seeds) = self.comparison, self.comparison.pairs
        return {
            "output": self.output and str(self.output),
            "pipelines": [row.to_dict() for row in self.rows],
            "prompts": list(dict.fromkeys(prompts)),
            "seeds": seeds,
            "runtime": f"{comparison.runtime.name} {comparison.runtime.version}",
            "workload": comparison.workload.to_dict(),
            "machine": self.machine,
        }

    def table(self) -> Table:
        """Return a row for each pipeline; columns that nothing is known for are left out."""
        cells = [_cells(row) for row in self.rows]
        kept = [n for n in range(len(_COLUMNS)) if n == 0 or any(line[n] != "–" for line in cells)]
        return Table([_COLUMNS[n] for n in kept], [[line[n] for n in kept] for line in cells])

    @property
    def footer(self) -> list[str]:
        """What the figures are of, and how times were measured."""
        comparison, first = self.comparison, self.comparison.candidates[0]
        pictures = f"{comparison.images} image{'s' if comparison.images > 1 else ''}"
        lines = [f"{pictures} of the same prompts and seeds; PSNR and SSIM to {first.name}"]
        if comparison.is_measured:
            runtime, workload = comparison.runtime, comparison.workload
            threads = "1 thread" if workload.threads == 1 else f"{workload.threads} threads"
            lines.append(
                f"measured here: {runtime.name} {runtime.version}, {threads}, {workload.precision}, {self.machine}"
            )
        return lines

    @property
    def remarks(self) -> list[str]:
        """Which pipelines failed, what the figures are of, and where the picture is."""
        failed = [f"{row.name} failed: {row.failure}" for row in self.failures]
        return [*failed, *self.footer, *([] if self.output is None else [f"wrote {self.output}"])]

    def write_images(self, folder: Path) -> None:
        """Write <number of the pipeline>-<number of the image>.png, both from 0, into a new folder."""
        with new_folder(folder) as inside:
            for number, row in enumerate(self.rows):
                for place, picture in enumerate(() if row.images is None else row.images):
                    write_png(inside / f"{number}-{place}.png", picture)


def _cells(row: Row) -> list[str]:
    share, near, match = row.sampling.get("guided"), row.difference, row.match
    guidance = f"{row.sampling['guidance']:g}" if share else "none"
    if share is not None and 0 < share < 1:
        guidance += f" in {100 * share:.0f}%"
    return [
        row.name,
        str(row.sampling.get("steps", "–")),
        guidance,
        "–" if row.latency is None else format_ms(row.latency.median_ms),
        "–" if row.memory_bytes is None else format_bytes(row.memory_bytes),
        "–" if row.size_bytes is None else format_bytes(row.size_bytes),
        "–" if near is None else "equal" if near.psnr_db == float("inf") else f"{near.psnr_db:.1f} dB",
        "–" if near is None or near.ssim is None else f"{near.ssim:.3f}",
        "–" if near is None or near.latent is None else f"{near.latent:.3f}",
        "–" if match is None else f"{match.percent:.0f}% ({match.low:.0f}–{match.high:.0f}%)",
    ]


def compare_pipelines(
    what: Sequence[str],
    prompts: Sequence[str] = (),
    output: str | Path | None = None,
    *,
    images: int = 16,
    shown: int = 8,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    ladder: bool = False,
    measured: bool = True,
    single: str | Path | None = None,
    runtime: str | None = None,
    threads: int = 1,
    progress: Listener | None = None,
) -> ComparedPipelines:
    """Compare pipelines at the same prompts and seeds.

    Args:
        what: Two or more: a pipeline's name or folder, also as "NAME@steps=8,guidance=3", a run, an exported folder.
        prompts: What images are asked for; none for those of the first.
        output: A new .png file with all pipelines; None writes none.
        images: Of each pipeline, the prompts in turn.
        shown: How many of them the picture shows.
        seed: Of the first image; the others follow.
        steps: Of pipelines that were not exported or searched; None for their own. `guidance` likewise.
        ladder: Whether a run's answers at other budgets are compared too.
        measured: Whether time and memory are measured now.
        single: A new folder that gets every image as a PNG of its own; None writes none.
        runtime: What runs pipelines; None for this machine's default.
        threads: That run a program.
        progress: Hears what is going on.

    Returns:
        The figures; what goes wrong with a pipeline but the first stands in its row.

    Raises:
        UsageError: Fewer than two, what is no pipeline, images of different sizes, an output that exists.
        NasError: The first pipeline fails.
    """
    path = new_place(output, (".png",))
    folder = new_place(single)
    candidates = [one for text in what for one in read_candidates(text, steps, guidance, ladder)]
    comparison = PipelineComparison(
        candidates=candidates,
        prompts=prompts or prompts_of(candidates[0].model),
        images=images,
        seed=seed,
        runtime=chosen_runtime(runtime),
        workload=Workload(threads=threads),
        is_measured=measured,
        report=as_progress(progress).remark,
    )
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        rows = comparison.run(Path(scratch))
    found = ComparedPipelines(comparison, rows, str(machine_fingerprint(comparison.runtime.device)), path)
    if folder is not None:
        found.write_images(folder)
    if path is not None:
        write_png(path, draw_contact_sheet(rows, comparison.pairs[0], found.footer, shown))
    return found
