"""Measuring many subnets' qualities into the table that predictors are fitted to."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.compress import extracted
from nas.elastic import Family, Inputs, call, named_inputs, split_inputs
from nas.errors import NasError
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes.onnx import INPUT, to_onnx
from nas.metrics.accuracy import fold_batch_norm
from nas.models import Evaluator, MeasuredTable, Model, load_model
from nas.models.task import Forward
from nas.progress import Steps
from nas.space import SearchSpace, Subnet, plain_codes

FIT, HELD_OUT = "fit", "held-out"
_BATCH = 250
_SAVE_EVERY = 20
_PLAIN_SHARE = (
    1 / 2
)  # of the subnets at most: the largest network with other settings of what touches no weight
_CHANGED = 0.02, 0.4  # shares of the choices of a network that is near the largest
_LOWERED_FROM = 2e11  # multiply-accumulates of all inputs from which writing a program first takes less time


def choose_subnets(model: Model, count: int, held_out: int, seed: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes (count, dimensions), all different, and each one's split.

    The smallest and the largest come first; of the others half are drawn uniformly and half evenly over log MACs from
    a pool that mutated ends widen, because uniform draws crowd around the middle. `held_out` rows, drawn from both
    halves, judge predictors. Where some dimensions say only what is run how often, settings of these with the largest
    network come first, and the rest are nearer to the largest, since less is left of a pipeline a few choices away.
    """
    space, rng = model.space, np.random.default_rng(seed)
    ends = space.codes([space.smallest(), space.largest()])
    uniform = space.sample_codes(rng, 2 * count)
    near = [space.mutate_codes(np.repeat(ends, 6 * count, axis=0), rng, rate) for rate in (0.1, 0.3, 0.5)]
    pool = np.unique(np.concatenate([*near, space.sample_codes(rng, 10 * count)]), axis=0)
    macs = np.log(model.supernet.counts(pool)["macs"])
    edges = np.linspace(macs.min(), macs.max(), count // 2 + 1)
    within = [np.flatnonzero((macs >= low) & (macs <= high)) for low, high in pairwise(edges)]
    spread = pool[[rng.choice(inside) for inside in within if len(inside)]]
    wanted = [spread, uniform[: count - len(spread)], uniform]
    plain = plain_codes(space, model.family.pass_dimensions)
    if plain is not None:
        whole = plain[rng.permutation(len(plain))[: int(count * _PLAIN_SHARE)]]
        left = count - len(ends) - len(whole)
        changed = _near_largest(model, count, rng)
        wanted = [whole, changed[: left - left // 4], spread[rng.permutation(len(spread))], changed]
    mixed = np.concatenate([ends, _unique(np.concatenate(wanted), ends)])
    chosen = mixed[:count]
    order = np.concatenate([np.arange(min(2, len(chosen))), 2 + rng.permutation(max(len(chosen) - 2, 0))])
    judged = set((2 + rng.permutation(max(len(chosen) - 2, 0))[:held_out]).tolist())
    return chosen[order], tuple(HELD_OUT if row in judged else FIT for row in range(len(chosen)))


def _near_largest(model: Model, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` networks that are some choices away from the largest, with random settings of how they are run."""
    space = model.space
    rows = np.repeat(space.codes([space.largest()]), count, axis=0)
    rates = rng.uniform(*_CHANGED, count)
    changed = np.concatenate(
        [space.mutate_codes(row[None], rng, rate) for row, rate in zip(rows, rates, strict=True)]
    )
    settings = [space.names.index(name) for name in model.family.pass_dimensions]
    changed[:, settings] = space.sample_codes(rng, count)[:, settings]
    return space.canonical_codes(changed)


def _unique(codes: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return the different rows of `codes` in order of first appearance, less those of `without`."""
    known = {row.tobytes() for row in without}
    kept = []
    for index, row in enumerate(codes):
        if row.tobytes() not in known:
            known.add(row.tobytes())
            kept.append(index)
    return codes[kept]


def measure_table(
    model: Model,
    codes: np.ndarray,
    split: tuple[str, ...],
    evaluators: Sequence[Evaluator],
    *,
    path: Path,
    real_calibration: bool = False,
    jobs: int = 1,
    progress: Steps | None = None,
) -> MeasuredTable:
    """Measure every subnet of `codes` by every evaluator and write the table to `path` as it grows.

    What the table at `path` already has is kept, with its split, and counts towards the length of `codes`; it must have
    the same qualities. Statistics are recomputed on the model's own images, or on evaluators'. With more than one of
    `jobs`, that many processes of one thread each measure subnets side by side.
    """
    names = [evaluator.quality.name for evaluator in evaluators]
    codes, split, found = _continued(path, model, codes, split, names)
    counts = model.supernet.counts(codes)
    missing = [index for index, row in enumerate(codes) if row.tobytes() not in found]
    work = _Work(model.path, tuple(evaluators), real_calibration)
    with _measuring(work, model, codes[missing], jobs) as measured:
        for index, values in zip(missing, measured, strict=True):
            found[codes[index].tobytes()] = values
            if len(found) % _SAVE_EVERY == 0:
                _table(model.space, names, codes[: index + 1], split, found, counts).write(path)
            if progress:
                progress(index + 1, len(codes))
    table = _table(model.space, names, codes, split, found, counts)
    table.write(path)
    return table


@dataclass(frozen=True)
class _Work:
    """What a process needs to measure subnets of a model."""

    model: Path
    evaluators: tuple[Evaluator, ...]
    real_calibration: bool


Values = tuple[float, ...]  # one subnet's, as the evaluators found them


@contextmanager
def _measuring(work: _Work, model: Model, codes: np.ndarray, jobs: int) -> Iterator[Iterator[Values]]:
    """Give the values of every row of `codes`, in order, as they are measured, in this process or in several."""
    if jobs <= 1 or len(codes) <= 1:
        yield (_measured(work, model, row) for row in codes)
        return
    # Not forked: a process that has used OpenMP cannot be.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(codes)), context, _start_job, (work,))
    try:
        yield pool.map(_job, codes)
    finally:
        pool.shutdown(cancel_futures=True)


_own: tuple[_Work, Model] | None = None  # of a job's process


def _start_job(work: _Work) -> None:
    global _own
    # Ctrl-C goes to every process; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _own = work, load_model(work.model)


def _job(row: np.ndarray) -> Values:
    assert _own is not None
    return _measured(*_own, row)


def _measured(work: _Work, model: Model, row: np.ndarray) -> Values:
    subnet = model.space.from_codes(row)
    images = work.evaluators[0].calibration if work.real_calibration else None
    module = extracted(model, subnet, images)
    forward = module if _is_brief(work, model, row) else quick_forward(module, model.family, subnet)
    return tuple(evaluator(model, forward, subnet) for evaluator in work.evaluators)


def _is_brief(work: _Work, model: Model, row: np.ndarray) -> bool:
    """Whether judging a subnet takes less time than writing its programs would."""
    counts = [evaluator.input_count for evaluator in work.evaluators]
    inputs = sum(count for count in counts if count is not None)
    return None not in counts and inputs * float(model.supernet.counts(row[None])["macs"][0]) < _LOWERED_FROM


def _continued(
    path: Path, model: Model, codes: np.ndarray, split: tuple[str, ...], names: list[str]
) -> tuple[np.ndarray, tuple[str, ...], dict[bytes, Values]]:
    """Put the rows of the table at `path` before those of `codes` that it lacks; also return what is measured."""
    if not path.exists():
        return codes, split, {}
    table = MeasuredTable.read(path, model.space, model.task.qualities)
    if [*table.values] != names:
        raise NasError(
            f"{path} has {', '.join(table.values)}, but {', '.join(names)} would be measured; remove it to measure anew"
        )
    rows = zip(*(values.tolist() for values in table.values.values()), strict=True)
    found = {codes.tobytes(): values for codes, values in zip(table.codes, rows, strict=True)}
    missing = [index for index, row in enumerate(codes) if row.tobytes() not in found]
    added = missing[: max(len(codes) - len(table), 0)]
    return (
        np.concatenate([table.codes, codes[added]]),
        (*table.split, *(split[index] for index in added)),
        found,
    )


def _table(
    space: SearchSpace,
    names: list[str],
    codes: np.ndarray,
    split: tuple[str, ...],
    found: dict[bytes, Values],
    counts: dict[str, Any],
) -> MeasuredTable:
    columns = zip(*(found[row.tobytes()] for row in codes), strict=True)
    values = {name: np.array(column) for name, column in zip(names, columns, strict=True)}
    count = len(codes)
    return MeasuredTable(
        space, codes, values, split[:count], counts["macs"][:count], counts["params"][:count]
    )


def quick_forward(module: nn.Module, family: Family, subnet: Subnet) -> Forward:
    """Return what computes a static network, or the programs that it is made of, fastest here.

    ONNX Runtime, lowering included, takes two thirds of torch's time.
    """
    names = dict.fromkeys(step.program for step in family.passes(subnet))
    is_torch = torch.cuda.is_available() or find_spec("onnxruntime") is None
    if is_torch:
        fold_batch_norm(module)
    views = {name: family.programs[name].view(module).eval() for name in names}
    if is_torch:
        return family.compose({name: partial(call, view) for name, view in views.items()}, subnet)

    programs: dict[str, Forward] = {}
    with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
        for number, (name, view) in enumerate(views.items()):
            path = Path(folder, f"{number}.onnx")
            to_onnx(view, family.programs[name].example(subnet, 1), path)
            most = min(_BATCH, getattr(view, "max_batch", _BATCH))
            programs[name] = onnx_forward(path, torch.get_num_threads(), most)
    return family.compose(programs, subnet)


def onnx_forward(path: Path, threads: int, most: int = _BATCH, runtime: str = "onnxruntime") -> Forward:
    """Return what computes a program file by a runtime that reads ONNX, at most `most` inputs at a time."""
    run = get_runtime(runtime).function(path, threads)

    def forward(x: Inputs) -> Tensor:
        feeds = (named_inputs(part, INPUT) for part in split_inputs(x, most))
        parts = (run({name: own.contiguous().numpy() for name, own in feed.items()}) for feed in feeds)
        # A runtime may use the memory of an output again.
        return torch.cat([torch.from_numpy(np.array(part)) for part in parts])

    return forward
