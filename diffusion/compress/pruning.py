"""Pruning a pipeline: what matters is found on its own samples or on data and sorted to the front, the rest cut off."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion.compress.costs import costs_of, wanted_rows
from diffusion.compress.examples import (
    Example,
    ExampleSource,
    joined,
    own_examples,
    prediction_error,
    prompts_of,
    settings_of,
)
from diffusion.compress.greedy import fit, read_limit
from diffusion.compress.importance import taylor_importance
from diffusion.compress.sensitivity import Sensitivity, sensitivity
from diffusion.compress.spec import PRUNED, cuts_entries, read_subnet
from diffusion.evaluation.quality import psnr
from diffusion.pipeline.elastic import ElasticPipeline, open_pipeline
from diffusion.pipeline.files.folder import is_elastic, write_pipeline
from diffusion.pipeline.sampling.generate import generate
from nas.elastic import Counts
from nas.errors import UsageError
from nas.latency.measure import measure
from nas.latency.programs import lower_output
from nas.latency.reference import open_references
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
class PruneConfig:
    """What is to be made of a pipeline.

    Attributes:
        subnet: as `read_subnet` takes it, or None where the limits decide.
        macs, params: "60%" of the full denoiser's, or a number such as "2M".
        table: measure every choice of every block, not only those that are needed.
        images: how many images are compared with the original's.
        samples: latents that importance is measured on; steps: of sampling them and the images.
    """

    subnet: str | None = None
    macs: str | None = None
    params: str | None = None
    table: bool = False
    images: int = 4
    samples: int = 8
    steps: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        limited = self.macs is not None or self.params is not None
        if self.subnet is not None and limited:
            raise UsageError("a subnet and a limit were both given; give --subnet, or --macs and --params")
        if self.subnet is None and not limited and not self.table:
            raise UsageError(
                "nothing says how small; give --subnet, --macs or --params, or ask for --sensitivity"
            )
        if self.images < 0 or self.samples < 1:
            raise UsageError(
                f"images is {self.images} and samples {self.samples}; give 0 or more images, at least 1 sample"
            )


def prune(
    pipeline: str | Path,
    output: str | Path | None,
    config: PruneConfig,
    *,
    examples: ExampleSource | None = None,
    runtime: Runtime | None = None,
    device: str = "cpu",
    threads: int | None = None,
    tell: Tell = lambda what, done, count: None,
) -> Pruned:
    """Make a smaller pipeline of `pipeline` in the new folder `output`; all parts but the denoiser stay as they are.

    Groups, heads and widths are sorted by first-order Taylor scores before they are cut (see `importance`), on
    the `examples` (such as `diffusion.training.distil.examples.real_examples` makes of data) or on latents that the
    pipeline samples itself. A limit is reached by leaving out what costs least for what it saves (see `greedy`). With
    `runtime` one pass of the denoiser is measured before and after, in a process of its own. Nothing is drawn but from
    `config.seed`: the same input, the same pipeline.

    Raises `UsageError` for a pipeline, subnet or limit that makes no sense, `InfeasibleError` for a limit below the
    smallest subnet. Fine-tune the result with `nas diffusion distill --subnet`: half of a network left out is a lot.
    """
    if threads:
        torch.set_num_threads(threads)
    cuts = config.subnet is not None or config.macs is not None or config.params is not None
    if cuts and output is None:
        raise UsageError("the pruned pipeline needs a place; name a new folder with --output")
    if output is not None and Path(output).exists():
        raise UsageError(f"{output} already exists; name a new folder or remove that one first")
    opened = open_pipeline(pipeline, device)
    space, supernet = opened.family.space, opened.supernet
    before = supernet.count(space.largest())
    limits = {
        kind: read_limit(kind, text, full)
        for kind, text, full in (("macs", config.macs, before.macs), ("params", config.params, before.params))
        if text is not None
    }
    for kind, most in limits.items():
        if getattr(before, kind) <= most:
            raise UsageError(f"the pipeline is within --{kind} {getattr(config, kind)} already; ask for less")
    subnet = None if config.subnet is None else read_subnet(opened.family, config.subnet)
    found, rows, source = None, [], ""
    if config.table or limits or (subnet is not None and cuts_entries(opened.family, subnet)):
        found, source = _examples(opened, config, examples, tell)
    if found is not None:
        importance = _sort(opened, found)
        rows = _rows(opened, importance, found, config, bool(limits), tell)
        if limits:
            subnet = fit(supernet, costs_of(space, importance, rows), limits)
        rows = rows if config.table else []
    if subnet is None or output is None:
        return Pruned(opened.name, None, None, before, before, None, None, 0, True, source, rows)
    return _write(opened, subnet, Path(output), config, (before, rows, source), runtime, threads, tell)


def _examples(
    opened: ElasticPipeline, config: PruneConfig, source: ExampleSource | None, tell: Tell
) -> tuple[list[Example], str]:
    tell("importance", 0, 1)
    if source is None:
        return own_examples(opened, config.samples, seed=config.seed, steps=config.steps), _OWN
    return source(opened, config.samples, config.seed)


def _sort(opened: ElasticPipeline, examples: Sequence[Example]) -> dict[str, Tensor]:
    """Put the most important entries of every axis first; returns the scores in the new order.

    The order of an elastic pipeline is one that its subnets were trained for, and stays.
    """
    opened.supernet.requires_grad_(True)
    importance = taylor_importance(opened.supernet, examples, loss=prediction_error)
    opened.supernet.requires_grad_(False)
    if is_elastic(opened.info):
        return importance
    opened.supernet.sort_channels(importance)
    return {name: scores.sort(descending=True).values for name, scores in importance.items()}


def _rows(
    opened: ElasticPipeline,
    importance: Mapping[str, Tensor],
    examples: Sequence[Example],
    config: PruneConfig,
    limited: bool,
    tell: Tell,
) -> list[Sensitivity]:
    if not config.table and not limited:
        return []
    changes = None if config.table else wanted_rows(opened.family, importance)
    return sensitivity(
        opened.supernet,
        joined([inputs for inputs, _ in examples]),
        progress=lambda done, count: tell("sensitivity", done, count),
        changes=changes,
    )


def _write(
    opened: ElasticPipeline,
    subnet: Subnet,
    output: Path,
    config: PruneConfig,
    known: tuple[Counts, list[Sensitivity], str],
    runtime: Runtime | None,
    threads: int | None,
    tell: Tell,
) -> Pruned:
    before, rows, source = known
    made, after = opened.with_subnet(subnet), opened.supernet.count(subnet)
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


def _psnr(opened: ElasticPipeline, made: Any, config: PruneConfig, tell: Tell) -> float:
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
