"""Pruning and quantizing a pipeline as verbs of a model: what they take, and results as JSON and as tables."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusion
from diffusion.compress.pruning import PipelinePruneConfig, Pruned, prune
from diffusion.compress.quantization import LEAST_PSNR, QuantizationTrial, TriedScheme, refusal, schemes
from diffusion.compress.quantized import write_quantized
from diffusion.pipeline.inputs.captions import open_described
from nas.api import Result, Table
from nas.compress import WORTH, Purpose, recommend
from nas.errors import UsageError
from nas.files import new_place
from nas.latency import Workload, chosen_runtime, format_bytes, format_count, format_ms
from nas.models import Model
from nas.progress import Listener, as_progress
from nas.space import Subnet

_SHOWN = 20


@dataclass(frozen=True)
class PipelinePruning(Result):
    """A pipeline that was pruned, or only the sensitivity of its choices (`found` has the figures)."""

    found: Pruned

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas diffusion prune --json` prints."""
        found = self.found
        return {
            "pipeline": found.name,
            "path": found.path,
            "subnet": None if found.subnet is None else found.subnet.to_dict(),
            "before": asdict(found.before),
            "after": asdict(found.after),
            "ms": found.ms,
            "psnr_db": found.psnr_db,
            "images": found.images,
            "stock": found.stock,
            "importance": found.examples,
            "sensitivity": [asdict(row) for row in found.rows],
        }

    def table(self) -> Table:
        """Return parameters, MACs and latency before and after; where nothing was cut, the sensitivity."""
        found = self.found
        if found.path is None:
            return self.sensitivity()
        rows = [
            ("parameters", *_change(found.before.params, found.after.params, format_count)),
            ("MACs a pass", *_change(found.before.macs, found.after.macs, format_count)),
        ]
        if found.ms is not None:
            rows.append(("latency a pass", *_change(*found.ms, format_ms)))
        return Table((found.name, "before", "after", "share"), rows)

    def sensitivity(self, most: int = _SHOWN) -> Table:
        """Return what choices cost and save, one at a time, the most harmful first."""
        rows = [
            (row.dimension, str(row.choice), f"{row.error:.2e}", f"{row.macs:.1%}", f"{row.params:.1%}")
            for row in self.found.rows[:most]
        ]
        return Table(("block", "only", "error", "MACs saved", "parameters saved"), rows)

    def tables(self) -> Sequence[Table]:
        measured = [self.sensitivity()] if self.found.rows else []
        return [*measured, *([] if self.found.path is None else [self.table()])]

    @property
    def remarks(self) -> Sequence[str]:
        """What to say beside the tables."""
        found, said = self.found, []
        if found.rows:
            more = max(0, len(found.rows) - _SHOWN)
            rest = f"; {more} more" if more else ""
            said.append(f"sensitivity: most harmful first, one choice at a time{rest}")
        if found.path is not None:
            loads = (
                "diffusers alone loads it" if found.stock else "diffusers loads it after `import diffusion`"
            )
            near = (
                ""
                if found.psnr_db is None
                else f"; PSNR to the original {found.psnr_db:.1f} dB ({found.images} images)"
            )
            said.append(f"wrote {found.path}: {loads}{near}")
        return said


def prune_pipeline(
    pipeline: str | Path,
    output: Path | None,
    *,
    data: Mapping[str, Any] | str | None = None,
    runtime: str | None = None,
    measured: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    progress: Listener | None = None,
    **settings: Any,
) -> PipelinePruning:
    """Make a smaller pipeline in the new folder `output`.

    Args:
        pipeline: A name, a folder, or a hub id.
        output: None where only the sensitivity is asked for.
        data: Images, with captions or classes, that importance is found on: a source, or the arguments of
            `diffusion.pipeline.open_described`; None for what the pipeline samples itself.
        runtime: What measures; None for this machine's default.
        measured: Whether a pass of the denoiser is measured before and after.
        device: Where the pipeline runs: "cpu", "cuda", "cuda:1".
        threads: Of torch and of what is measured; None for all cores.
        progress: Hears stages and steps.
        **settings: Of `PipelinePruneConfig`: subnet, macs, params, table, images, samples, steps, seed.

    Raises:
        UsageError: A pipeline, subnet or limit that makes no sense.
        InfeasibleError: A limit below the smallest subnet.
    """
    try:
        config = PipelinePruneConfig(**settings)
    except TypeError as error:
        raise UsageError(
            f"pruning does not take these settings ({error}); see `diffusion.compress.PipelinePruneConfig`"
        ) from error
    examples = None
    if data is not None:
        opened, found = open_described(**({"spec": data} if isinstance(data, str) else data))
        examples = partial(diffusion.real_examples, opened, found["described"])
    done = prune(
        pipeline, output, config, examples=examples, runtime=chosen_runtime(runtime) if measured else None,
        device=device, threads=threads, tell=as_progress(progress),
    )  # fmt: skip
    return PipelinePruning(done)


@dataclass(frozen=True)
class PipelineQuantization(Result):
    """What fewer bits cost and save for a pipeline.

    Attributes:
        tried: Every choice with its bytes, time and qualities; floats come first.
        best: What is recommended; None where nothing is worth it.
        measured_with: Runtime and workload.
        folder: Where the recommended one was written; None where nothing was.
        reason: Why nothing is recommended, "" where something is.
    """

    tried: Sequence[TriedScheme]
    best: TriedScheme | None
    measured_with: str
    folder: Path | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas diffusion quantize --json` prints."""
        return {
            "measured_with": self.measured_with,
            "choices": [each.to_dict() for each in self.tried],
            "recommended": None if self.best is None else self.best.scheme.name,
            "output": self.folder,
        }

    def table(self) -> Table:
        """Return a row for each choice."""
        floats, has_match = self.tried[0], self.tried[0].match is not None
        rows = []
        for each in self.tried:
            row = [each.scheme.name, format_bytes(each.size_bytes), format_ms(each.measured.median_ms)]
            row += [_beside(each, floats), "" if each is floats else f"{each.psnr_db:.1f} dB"]
            rows.append([*row, f"{each.match:.0f}%"] if has_match else row)
        columns = ["", "files", "an image", "beside fp32", "PSNR", *(["prompt match"] if has_match else [])]
        return Table(columns, rows)

    @property
    def remarks(self) -> Sequence[str]:
        """What to say beside the table."""
        said = [f"measured side by side under {self.measured_with}"]
        if self.best is not None:
            wrote = f"wrote {self.folder}" if self.folder is not None else "write it with --output FOLDER"
            said.append(f"recommended: {self.best.scheme.name}; {wrote}")
        return said


def quantize_pipeline(
    model: Model,
    subnet: Subnet,
    output: Path | None = None,
    *,
    runtime: str | None = None,
    threads: int = 1,
    purpose: Purpose = "speed",
    least_psnr: float = LEAST_PSNR,
    with_match: bool = False,
    progress: Listener | None = None,
) -> PipelineQuantization:
    """Try weights of fewer bits, and int8 activations where they run, and write what is worth it.

    Args:
        model: The pipeline.
        subnet: What is made cheaper; its bits are chosen anew.
        output: A new folder; None writes nothing.
        runtime: What measures; None for this machine's default.
        threads: That run a program.
        purpose: "speed" for the most accurate of those 1.2 times as fast as floats, "size" for the smallest files.
        least_psnr: In dB; nothing whose pictures are below it, to those of floats, is taken.
        with_match: Whether the prompt match of every choice is judged too.
        progress: Hears stages.

    Raises:
        UsageError: A folder that exists, a pipeline that offers no bits.
    """
    new_place(output)
    chosen, workload, hear = chosen_runtime(runtime), Workload(threads=threads), as_progress(progress)
    chosen.require(workload)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        trial = QuantizationTrial(model, chosen, workload, Path(scratch), with_match=with_match, report=hear)
        tried = trial.run(schemes(model, subnet, chosen.name))
        best = recommend(tried[0], tried[1:], purpose, least=least_psnr)
        folder = output if best is not None else None
        if best is not None and folder is not None:
            hear(f"writing {folder}")
            write_quantized(model, best, tried[0], chosen, workload, folder)
    reason = "" if best is not None else refusal(tried, purpose, WORTH, least_psnr)
    return PipelineQuantization(tried, best, f"{chosen.name} {chosen.version}, {workload}", folder, reason)


def _change(before: float, after: float, words: Any) -> tuple[str, str, str]:
    return words(before), words(after), f"{after / before:.1%}"


def _beside(each: TriedScheme, floats: TriedScheme) -> str:
    """Say how fast a choice is beside floats; within 3% nobody would see a difference again."""
    if each is floats:
        return ""
    if abs(each.speedup - 1) <= 0.03:
        return "as fast"
    return f"{each.speedup:.2f}×{'' if each.speedup > 1 else ', slower'}"


__all__ = ["PipelineQuantization", "PipelinePruning", "prune_pipeline", "quantize_pipeline"]
