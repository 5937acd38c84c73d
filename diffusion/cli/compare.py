"""`nas diffusion compare`: pipelines side by side, as one picture and one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion import evaluation
from diffusion.cli._candidates import read_candidates
from nas.api.tables import plain_table
from nas.cli.commands import (
    emit_json,
    json_option,
    log,
    result_console,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.errors import NasError
from nas.files import new_folder
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.runtimes import default_runtime, get_runtime
from nas.latency.units import format_bytes, format_ms
from nas.latency.workload import Workload
from nas.pictures import check_output, write_png

if TYPE_CHECKING:
    from diffusion.evaluation.comparison import Candidate, PipelineComparison, Row


@click.command()
@click.argument("what", metavar="A B ...", nargs=-1, required=True)
@click.option("--prompt", "prompts", multiple=True, help="May be repeated.  [default: those of the first]")
@click.option(
    "--images", type=click.IntRange(1, 100_000), default=16, show_default=True, help="Images of each, prompts in turn."
)  # fmt: skip
@click.option(
    "--shown", type=click.IntRange(1, 64), default=8, show_default=True, help="How many of them the picture shows."
)  # fmt: skip
@seed_option
@click.option(
    "--steps", type=click.IntRange(min=1), default=None, help="Of pipelines that were not exported."
)
@click.option(
    "--guidance", type=click.FloatRange(0, 100), default=None, help="Of pipelines that were not exported."
)
@click.option("--ladder", is_flag=True, help="Of a run, show its answers at other budgets too.")
@click.option("--no-measure", is_flag=True, help="Measure neither time nor memory now.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("compare.png"), show_default=True, help="A new .png file."
)  # fmt: skip
@click.option(
    "--single", type=click.Path(path_type=Path), default=None, metavar="FOLDER",
    help="Also write every image as a PNG of its own into this new folder.",
)  # fmt: skip
@runtime_option
@threads_option
@json_option
def command(
    what: tuple[str, ...],
    prompts: tuple[str, ...],
    images: int,
    shown: int,
    seed: int,
    steps: int | None,
    guidance: float | None,
    ladder: bool,
    no_measure: bool,
    output: Path,
    single: Path | None,
    runtime: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Compare pipelines at the same prompts and seeds: A is a pipeline's name or folder, a run, or an exported folder.

    \b
      nas diffusion compare tiny-sd-cifar10 runs/fast-export
      nas diffusion compare tiny-sd-cifar10 tiny-sd-cifar10@steps=8 tiny-sd-cifar10@steps=8,guidance=3

    Exported pipelines and runs sample as they say; others as they say too, or as @steps=N,guidance=G after the name or
    --steps and --guidance tell. Images are compared with the first's. Time and memory are those of a process of its own
    that runs an image's programs.
    """
    import tempfile

    check_output(output, (".png",))
    if single is not None:
        check_output(single, ())
    candidates = [one for text in what for one in _candidates(text, steps, guidance, ladder)]
    comparison = evaluation.PipelineComparison(
        candidates=candidates,
        prompts=prompts or evaluation.prompts_of(candidates[0].model),
        images=images,
        seed=seed,
        runtime=get_runtime(runtime) if runtime else default_runtime(),
        workload=Workload(threads=threads),
        is_measured=not no_measure,
        report=log,
    )
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        rows = comparison.run(Path(scratch))
    machine = str(machine_fingerprint(comparison.runtime.device))
    footer = _footer(comparison, machine)
    if single is not None:
        _write_each(single, rows)
    write_png(output, evaluation.draw_contact_sheet(rows, comparison.pairs[0], footer, shown))
    if as_json:
        emit_json(_answer(comparison, rows, output, machine))
    else:
        _show(rows, footer, output)
    if failed := [row for row in rows if row.failure]:
        raise NasError(
            f"{len(failed)} of {len(rows)} pipelines failed: {failed[0].name}: {failed[0].failure}"
        )


def _write_each(folder: Path, rows: list[Row]) -> None:
    """Write <number of the pipeline>-<number of the image>.png, both from 0, in the order of the answer."""

    with new_folder(folder) as inside:
        for number, row in enumerate(rows):
            for place, picture in enumerate(() if row.images is None else row.images):
                write_png(inside / f"{number}-{place}.png", picture)


def _candidates(text: str, steps: int | None, guidance: float | None, ladder: bool) -> list[Candidate]:
    """Return what a word of the command line means: several pipelines for a run with its ladder."""

    return read_candidates(text, steps, guidance, ladder)


def _footer(comparison: PipelineComparison, machine: str) -> list[str]:
    runtime, workload, first = comparison.runtime, comparison.workload, comparison.candidates[0]
    pictures = f"{comparison.images} image{'s' if comparison.images > 1 else ''}"
    lines = [f"{pictures} of the same prompts and seeds; PSNR and SSIM to {first.name}"]
    if comparison.is_measured:
        threads = "1 thread" if workload.threads == 1 else f"{workload.threads} threads"
        lines.append(
            f"measured here: {runtime.name} {runtime.version}, {threads}, {workload.precision}, {machine}"
        )
    return lines


def _answer(comparison: PipelineComparison, rows: list[Row], output: Path, machine: str) -> dict[str, Any]:
    prompts, seeds = comparison.pairs
    return {
        "output": output,
        "pipelines": [row.to_dict() for row in rows],
        "prompts": list(dict.fromkeys(prompts)),
        "seeds": seeds,
        "runtime": f"{comparison.runtime.name} {comparison.runtime.version}",
        "workload": comparison.workload.to_dict(),
        "machine": machine,
    }


def _show(rows: list[Row], footer: list[str], output: Path) -> None:

    columns = (
        "",
        "steps",
        "guidance",
        "an image",
        "memory",
        "on disk",
        "PSNR",
        "SSIM",
        "latent error",
        "prompt match",
    )
    cells = [_cells(row) for row in rows]
    kept = [n for n in range(len(columns)) if n == 0 or any(line[n] != "–" for line in cells)]
    console = result_console()
    console.print(plain_table([columns[n] for n in kept], [[line[n] for n in kept] for line in cells]))
    for row in rows:
        if row.failure:
            console.print(f"{row.name} failed: {row.failure}", soft_wrap=True, markup=False)
    for line in footer:
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"wrote {output}", soft_wrap=True, markup=False)


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
