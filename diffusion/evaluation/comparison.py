"""Pipelines side by side: the same prompts and seeds, what an image takes here, and how far it is from the first's.

Every figure is of the programs that were timed: the same files make the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from diffusion.evaluation.quality import (
    Classifier,
    Difference,
    Match,
    classifier,
    compare_pictures,
    match,
    prompts_and_seeds,
)
from diffusion.evaluation.task import latents_of, make_inputs, pictures
from diffusion.pipeline.family import PipelineFamily
from diffusion.pipeline.files.folder import quiet
from diffusion.pipeline.inputs.prompts import require_prompts
from nas.elastic import Forward, call
from nas.errors import NasError, UsageError
from nas.export import Network
from nas.latency.measuring.measure import Measurement, TurnPlan, measure, measure_memory, program_bytes
from nas.latency.measuring.reference import open_references
from nas.latency.runtimes import Runtime, read_sequence
from nas.latency.workload import Workload
from nas.models import Model
from nas.search.testbed.measured_table import onnx_forward

_SECONDS = 5.0
"""Of measuring, for each pipeline: on a restless machine no longer."""
_FAILURES = (NasError, RuntimeError, ValueError, ArithmeticError, MemoryError, OSError)


@dataclass(frozen=True)
class Candidate:
    """A pipeline to compare: its network with the family and subnet that say how it samples.

    `model` tells its prompts and holds its tokenizer; it needs no weights.
    """

    name: str
    model: Model
    network: Network

    @property
    def sampling(self) -> dict[str, Any]:
        """How it samples: steps, scheduler, guidance, and what else it says."""
        family = self.network.family
        assert isinstance(family, PipelineFamily)
        return {**family.chosen(self.network.subnet), "guidance": family.sampling.scale}


@dataclass
class Row:
    """What was found of one pipeline; `failure` says why something is missing.

    `images` are uint8 (n, height, width, 3), `size_bytes` those of the program files that were timed, `memory_bytes`
    the most that the process had which ran them. `difference` is None for the first, `match` where
    prompts name no class.
    """

    name: str
    sampling: dict[str, Any]
    images: np.ndarray | None = None
    latency: Measurement | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    difference: Difference | None = None
    match: Match | None = None
    failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, without the images."""
        return {
            "name": self.name,
            "sampling": self.sampling,
            "seconds_an_image": None if self.latency is None else self.latency.median_ms / 1e3,
            "latency": None if self.latency is None else self.latency.to_dict(),
            "memory_bytes": self.memory_bytes,
            "size_bytes": self.size_bytes,
            "difference": None if self.difference is None else asdict(self.difference),
            "match": None if self.match is None else asdict(self.match),
            "failure": self.failure or None,
        }


@dataclass(kw_only=True)
class PipelineComparison:
    """What is compared, and how; `report` hears what is going on."""

    candidates: Sequence[Candidate]
    prompts: Sequence[str]
    images: int
    seed: int = 0
    runtime: Runtime
    workload: Workload
    is_measured: bool = True
    report: Callable[[str], None] = lambda text: None
    pairs: tuple[list[str], list[int]] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.candidates) < 2:
            raise UsageError("two or more pipelines are needed to compare; name another")
        if self.images < 1:
            raise UsageError(f"{self.images} images cannot be compared; give at least 1")
        if not self.prompts:
            raise UsageError('no prompt is given; give one, such as "a photo of a ship"')
        self.pairs = prompts_and_seeds(self.prompts, self.images, self.seed)
        with quiet():
            for candidate in self.candidates:
                family = candidate.network.family
                assert isinstance(family, PipelineFamily)
                require_prompts(candidate.model.path, family.conditions, list(dict.fromkeys(self.pairs[0])))

    def run(self, folder: Path) -> list[Row]:
        """Compare; programs are written below `folder`, which must be empty. The rows have the candidates' order.

        What goes wrong with one pipeline stands in its row; where it is the first, to which the others are compared,
        it is raised. Raises `UsageError` where images differ in size.
        """
        self.runtime.require(self.workload)
        rows = [Row(candidate.name, candidate.sampling) for candidate in self.candidates]
        files: dict[int, Path] = {}
        latents: dict[int, np.ndarray] = {}
        for number, (row, candidate) in enumerate(zip(rows, self.candidates, strict=True)):
            with _told(row, is_first=number == 0):
                self.report(f"making {self.images} images by {candidate.name}")
                files[number] = self._lowered(candidate, folder / str(number))
                row.size_bytes = program_bytes(files[number])
                row.images, latents[number] = self._made(candidate, files[number])
        self._evaluate(rows, latents)
        if self.is_measured:
            self._measure(rows, files)
        return rows

    def _lowered(self, candidate: Candidate, folder: Path) -> Path:
        folder.mkdir()
        return candidate.network.program(self.runtime, folder / "pipeline")

    def _made(self, candidate: Candidate, file: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return images and final latents, made by the program files where they are ONNX, else by torch."""
        import torch

        network = candidate.network
        programs: dict[str, Forward] = {}
        passes = network.family.passes(network.subnet)
        for step, (path, _, _) in zip(passes, read_sequence(file), strict=True):
            if step.program in programs:
                continue
            view = network.family.programs[step.program].view(network.module).eval()
            if self.runtime.reads_onnx:
                most = getattr(view, "max_batch", 63)
                programs[step.program] = onnx_forward(path, self.workload.threads, most, self.runtime.name)
            else:
                programs[step.program] = _called(view)
        forward = network.family.compose(programs, network.subnet)
        inputs = make_inputs(candidate.model, *self.pairs)
        with torch.inference_mode():
            return pictures(forward, inputs), latents_of(forward, inputs)

    def _evaluate(self, rows: Sequence[Row], latents: Mapping[int, np.ndarray]) -> None:
        sizes = {row.images.shape[1:3]: row.name for row in rows if row.images is not None}
        if len(sizes) > 1:
            (one, first), (two, second), *_ = sizes.items()
            raise UsageError(
                f"{first} makes images of {one[1]} × {one[0]} pixels and {second} of {two[1]} × {two[0]}; compare "
                "pipelines of one size"
            )
        evaluator = _evaluator_of(self.prompts)
        for number, row in enumerate(rows):
            if row.images is None:
                continue
            if number:
                assert rows[0].images is not None
                row.difference = compare_pictures(row.images, rows[0].images, latents[number], latents[0])
            if evaluator is not None:
                row.match = match(row.images, self.pairs[0], evaluator)

    def _measure(self, rows: Sequence[Row], files: Mapping[int, Path]) -> None:
        """Measure memory pipeline by pipeline, then the latency of all that ran, interleaved."""
        good: dict[int, Path] = {}
        for number, row in enumerate(rows):
            if row.failure:
                continue
            with _told(row, is_first=number == 0):
                self.report(f"measuring the memory of {row.name}")
                row.memory_bytes = measure_memory(files[number], self.runtime, self.workload)
                good[number] = files[number]
        self.report(f"measuring an image under {self.runtime.name}, {self.workload}")
        plan = TurnPlan(budget_s=_SECONDS * len(good))
        references = open_references(self.candidates[0].network.family, self.runtime, self.workload)
        measured = measure(good, self.runtime, self.workload, references=references, plan=plan)
        for number, latency in measured.items():
            rows[number].latency = latency


class _told:
    """Keeps what goes wrong with a pipeline in its row; what goes wrong with the first goes on."""

    def __init__(self, row: Row, is_first: bool) -> None:
        self._row, self._is_first = row, is_first

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, _FAILURES) or isinstance(error, UsageError):
            return False
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if self._is_first:
            raise NasError(f"{self._row.name}, to which the others are compared, fails: {reason}") from error
        self._row.failure = reason
        return True


def _called(view: nn.Module) -> Forward:
    return lambda inputs: call(view, inputs)


def _evaluator_of(prompts: Sequence[str]) -> Classifier | None:
    """Return our classifier where every prompt names one of its classes."""
    if not all(prompts):
        return None
    evaluator = classifier()
    return evaluator if all(evaluator.class_of(prompt) is not None for prompt in prompts) else None
