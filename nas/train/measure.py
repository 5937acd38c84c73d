"""Measuring many subnets' accuracy into the table that accuracy predictors are fitted to."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.families import MeasuredTable
from nas.train.evaluate import accuracy, fold_batch_norm

if TYPE_CHECKING:
    from nas.families import Model
    from nas.space import SearchSpace, Subnet

FIT, HELD_OUT = "fit", "held-out"
_BATCH = 250
_SAVE_EVERY = 20

Forward = Callable[[np.ndarray], np.ndarray]


def choose_subnets(model: Model, count: int, held_out: int, seed: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes (count, dimensions), all different, and each one's split.

    The smallest and the largest come first; of the others half are drawn uniformly and half evenly over log MACs from
    a pool that mutated ends widen, because uniform draws crowd around the middle. `held_out` rows, drawn from both
    halves, judge predictors.
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
    mixed = np.concatenate(
        [ends, _unique(np.concatenate([spread, uniform[: count - len(spread)], uniform]), ends)]
    )
    chosen = mixed[:count]
    order = np.concatenate([np.arange(min(2, len(chosen))), 2 + rng.permutation(max(len(chosen) - 2, 0))])
    judged = set((2 + rng.permutation(max(len(chosen) - 2, 0))[:held_out]).tolist())
    return chosen[order], tuple(HELD_OUT if row in judged else FIT for row in range(len(chosen)))


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
    images: Tensor,
    labels: Tensor,
    *,
    path: Path,
    calibration: Tensor | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> MeasuredTable:
    """Measure the top-1 of every subnet of `codes` on uint8 `images` and write the table to `path` as it grows.

    What the table at `path` already has is kept, with its split, and counts towards the length of `codes`. BatchNorm is
    recalibrated on the model's own calibration images unless uint8 `calibration` is given. With more than one of
    `jobs`, that many processes of one thread each measure subnets side by side.
    """
    codes, split, found = _continued(path, model.space, codes, split)
    counts = model.supernet.counts(codes)
    missing = [index for index, row in enumerate(codes) if row.tobytes() not in found]
    task = _Task(model.path, images, labels, calibration)
    with _measuring(task, model, codes[missing], jobs) as measured:
        for index, top1 in zip(missing, measured, strict=True):
            found[codes[index].tobytes()] = top1
            if len(found) % _SAVE_EVERY == 0:
                _table(model.space, codes[: index + 1], split, found, counts).write(path)
            if progress:
                progress(index + 1, len(codes))
    table = _table(model.space, codes, split, found, counts)
    table.write(path)
    return table


@dataclass(frozen=True)
class _Task:
    """What a process needs to measure subnets of a model."""

    model: Path
    images: Tensor
    labels: Tensor
    calibration: Tensor | None


@contextmanager
def _measuring(task: _Task, model: Model, codes: np.ndarray, jobs: int) -> Iterator[Iterator[float]]:
    """Give the top-1 of every row of `codes`, in order, as it is measured, in this process or in several."""
    if jobs <= 1 or len(codes) <= 1:
        measurer = _Measurer(task, model)
        yield (measurer.top1(row) for row in codes)
        return
    # Not forked: a process that has used OpenMP cannot be.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(codes)), context, _start_job, (task,))
    try:
        yield pool.map(_job_top1, codes)
    finally:
        pool.shutdown(cancel_futures=True)


_measurer: _Measurer | None = None  # of a job's process


def _start_job(task: _Task) -> None:
    from nas.families import load_model

    global _measurer
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to every process; the first one ends the others
    torch.set_num_threads(1)
    _measurer = _Measurer(task, load_model(task.model))


def _job_top1(row: np.ndarray) -> float:
    assert _measurer is not None
    return _measurer.top1(row)


class _Measurer:
    """Measures subnets one after another."""

    def __init__(self, task: _Task, model: Model) -> None:
        self._task = task
        self._model = model
        self._batches = _Prepared(model, task.images)

    def top1(self, row: np.ndarray) -> float:
        """Return the top-1 in percent of the subnet with these codes."""
        subnet = self._model.space.from_codes(row)
        return _top1(self._model, subnet, self._task.calibration, self._batches.of(subnet), self._task.labels)


def _continued(
    path: Path, space: SearchSpace, codes: np.ndarray, split: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], dict[bytes, float]]:
    """Put the rows of the table at `path` before those of `codes` that it lacks; also return what is measured."""
    if not path.exists():
        return codes, split, {}
    table = MeasuredTable.read(path, space)
    found = {row.tobytes(): top1 for row, top1 in zip(table.codes, table.top1.tolist(), strict=True)}
    missing = [index for index, row in enumerate(codes) if row.tobytes() not in found]
    added = missing[: max(len(codes) - len(table), 0)]
    return (
        np.concatenate([table.codes, codes[added]]),
        (*table.split, *(split[index] for index in added)),
        found,
    )


def _table(
    space: SearchSpace,
    codes: np.ndarray,
    split: tuple[str, ...],
    found: dict[bytes, float],
    counts: dict[str, Any],
) -> MeasuredTable:
    top1 = np.array([found[row.tobytes()] for row in codes])
    count = len(codes)
    return MeasuredTable(space, codes, top1, split[:count], counts["macs"][:count], counts["params"][:count])


class _Prepared:
    """The images as each input shape takes them, made once: resizing 5,000 images costs as much as a small subnet."""

    def __init__(self, model: Model, images: Tensor) -> None:
        self._model = model
        self._images = images
        self._known: dict[tuple[int, ...], Tensor] = {}

    def of(self, subnet: Subnet) -> Tensor:
        """Return all images as the network of `subnet` takes them, contiguous floats."""
        shape = tuple(self._model.family.example_input(subnet).shape[1:])
        if shape not in self._known:
            parts = [
                self._model.family.prepare(self._model.normalize(x), subnet) for x in self._images.split(500)
            ]
            self._known[shape] = torch.cat(parts).contiguous()
        return self._known[shape]


def _top1(model: Model, subnet: Subnet, calibration: Tensor | None, inputs: Tensor, labels: Tensor) -> float:
    module = model.extract(subnet, calibration)
    if (forward := _onnx(module, model.family.example_input(subnet))) is None:
        fold_batch_norm(module)
        return accuracy(module, inputs, labels, _BATCH)
    right = 0
    for chunk, truth in zip(inputs.split(_BATCH), labels.split(_BATCH), strict=True):
        right += int((forward(chunk.numpy()).argmax(1) == truth.numpy()).sum())
    return 100 * right / len(labels)


def _onnx(module: nn.Module, example: Tensor) -> Forward | None:
    """Return the module under ONNX Runtime, which on a CPU takes two thirds of torch's time, lowering included."""
    if torch.cuda.is_available():
        return None
    try:
        import onnxruntime
    except ImportError:
        return None
    from nas.latency.runtimes._onnx import INPUT, to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
        path = Path(folder, "model.onnx")
        to_onnx(module, example, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(None, {INPUT: x})[0])
