"""Pruning a pipeline: what matters is found on its own samples or on data and sorted to the front, the rest cut off."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from diffusion.compress.examples import (
    EASY,
    Example,
    ExampleSource,
    joined,
    own_examples,
    prediction_error,
    prompts_of,
    settings_of,
)
from diffusion.compress.spec import PRUNED, read_subnet
from diffusion.evaluation.quality import psnr
from diffusion.pipeline.elastic import ElasticPipeline, open_pipeline
from diffusion.pipeline.files.folder import is_elastic, write_pipeline
from diffusion.pipeline.sampling.generate import generate
from nas.compress import Cut, PruneConfig, Sensitivity, Taylor, decide
from nas.elastic import Counts
from nas.errors import UsageError
from nas.files import new_place
from nas.latency.measuring.measure import measure
from nas.latency.measuring.programs import lower_output
from nas.latency.measuring.reference import open_references
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.space import Subnet

TABLE = "sensitivity.json"
"""The sensitivity table beside a pruned pipeline's `anyfit.json`."""
_OWN = "its own samples"
Tell = Callable[[str, int, int], None]
"""Hears what is done, and how much of how much."""


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes:
        path: the new pipeline's folder; None where only the sensitivity was asked for.
        subnet: what the denoiser is now.
        before, after: counts of one pass of the denoiser.
        ms: medians of one pass of the denoiser, before and after; None where not measured.
        psnr_db: of the images of the same prompts and seeds, over all their pixels; None where none were made.
        stock: whether the denoiser is a plain class of diffusers, which loads without this package.
        rows: the sensitivity table, if it was asked for, most harmful first.
    """

    name: str
    path: Path | None
    subnet: Subnet | None
    before: Counts
    after: Counts
    ms: tuple[float, float] | None
    psnr_db: float | None
    images: int
    stock: bool
    examples: str
    rows: list[Sensitivity] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PipelinePruneConfig(PruneConfig):
    """What is to be made of a pipeline: a `PruneConfig` of its denoiser, where a pruned pipeline names a subnet too.

    Attributes:
        samples: latents that importance is measured on.
        steps: of sampling them, and the images that are compared.
        images: how many images are compared with the original's.
    """

    images: int = 4
    steps: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images < 0:
            raise UsageError(f"images is {self.images}; give 0 or more")


def prune(
    pipeline: str | Path,
    output: str | Path | None,
    config: PipelinePruneConfig,
    *,
    examples: ExampleSource | None = None,
    runtime: Runtime | None = None,
    device: str = "cpu",
    threads: int | None = None,
    tell: Tell = lambda what, done, count: None,
) -> Pruned:
    """Make a smaller pipeline of `pipeline` in the new folder `output`; all parts but the denoiser stay as they are.

    Groups, heads and widths are sorted by Taylor scores before they are cut (`nas.compress.decide`), on the `examples`
    (such as `diffusion.training.distil.examples.real_examples` makes of data) or on latents that the pipeline samples
    itself. A limit is reached by leaving out what costs least for what it saves. With `runtime` one pass of the
    denoiser is measured before and after, in a process of its own. Nothing is drawn but from `config.seed`: the same
    input, the same pipeline.

    Raises `UsageError` for a pipeline, subnet or limit that makes no sense, `InfeasibleError` for a limit below the
    smallest subnet. Fine-tune the result with `nas diffusion distill --subnet`: half of a network left out is a lot.
    """
    if threads:
        torch.set_num_threads(threads)
    if config.cuts and output is None:
        raise UsageError("the pruned pipeline needs a place; name a new folder with --output")
    new_place(output)
    opened = open_pipeline(pipeline, device)
    made: list[Example] = []
    source = ""

    def found() -> list[Example]:
        nonlocal made, source
        made, source = _examples(opened, config, examples)
        return made

    cut = decide(
        opened.supernet,
        config,
        Taylor(prediction_error, threshold=EASY),
        found,
        keeps_order=is_elastic(opened.info),  # its subnets were trained in the order that it has
        batches=lambda _: joined([inputs for inputs, _ in made]),
        find=read_subnet,
        progress=tell,
    )
    if cut.subnet is None or output is None:
        return Pruned(opened.name, None, None, cut.before, cut.before, None, None, 0, True, source, cut.rows)
    return _write(opened, cut, cut.subnet, Path(output), config, source, runtime, threads, tell)


def _examples(
    opened: ElasticPipeline, config: PipelinePruneConfig, source: ExampleSource | None
) -> tuple[list[Example], str]:
    if source is None:
        return own_examples(opened, config.samples, seed=config.seed, steps=config.steps), _OWN
    return source(opened, config.samples, config.seed)


def _write(
    opened: ElasticPipeline,
    cut: Cut,
    subnet: Subnet,
    output: Path,
    config: PipelinePruneConfig,
    source: str,
    runtime: Runtime | None,
    threads: int | None,
    tell: Tell,
) -> Pruned:
    before, after, rows = cut.before, cut.after, cut.rows
    made = opened.with_subnet(subnet)
    psnr_db = _psnr(opened, made, config, tell) if config.images else None
    ms = None if runtime is None else _measured(opened, subnet, runtime, threads, tell)
    denoiser = getattr(made, opened.part)
    stock = not type(denoiser).__name__.startswith("Subnet")
    options = {name: value for name, value in opened.family.options.items() if name != "config"}
    # What was offered of the original is not offered of a network that is smaller already.
    kept = {key: value for key, value in opened.info.items() if key not in ("space", "elastic", "table")}
    pruned = {
        "from": opened.name,
        "choices": dict(subnet),
        "options": options,
        "importance": source or "not needed",
        "macs": [before.macs, after.macs],
        "params": [before.params, after.params],
        **({} if psnr_db is None else {"psnr_db": round(psnr_db, 2)}),
    }
    files = {TABLE: [asdict(row) for row in rows]} if rows else {}
    info = {**kept, "name": f"{opened.name}-pruned", PRUNED: pruned}
    write_pipeline(output, made.to("cpu"), info, files)
    return Pruned(opened.name, output, subnet, before, after, ms, psnr_db, config.images, stock, source, rows)


def _psnr(opened: ElasticPipeline, made: Any, config: PipelinePruneConfig, tell: Tell) -> float:
    """Return how near the images are to the original's, of the same prompts and seeds."""
    prompts, settings = prompts_of(opened, config.images), settings_of(opened, config.steps)
    seeds = range(config.seed, config.seed + config.images)
    pictures = []
    for number, pipeline in enumerate((opened.pipeline, made)):
        tell("images", number, 2)
        pictures.append(generate(pipeline, prompts, seeds, settings))
    return psnr(*pictures)


def _measured(
    opened: ElasticPipeline, subnet: Subnet, runtime: Runtime, threads: int | None, tell: Tell
) -> tuple[float, float]:
    """Return the median ms of one pass of the denoiser, before and after, measured interleaved."""
    workload = Workload(threads=threads) if threads else Workload()
    runtime.require(workload)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
        programs = {}
        for name, own in (("before", opened.family.space.largest()), ("after", subnet)):
            module = opened.supernet.extract(own).to("cpu")
            programs[name] = lower_output(module, opened.family, own, runtime, Path(folder, name))
        references = open_references(opened.family, runtime, workload)
        found = measure(
            programs,
            runtime,
            workload,
            references=references,
            progress=lambda done, count: tell("latency", done, count),
        )
    return found["before"].median_ms, found["after"].median_ms
