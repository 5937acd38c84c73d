"""The training loop: steps, evaluations, checkpoints; the same bits whether or not it was interrupted."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas._errors import NasError, UsageError
from nas._files import write_json
from nas.train._batches import Plan, Stats, batches, make_plan, measure_stats
from nas.train._checkpoint import Checkpoint, check_same, diverged, read_checkpoint, write_checkpoint
from nas.train._finish import finish, trained
from nas.train._group import Group, join_group, leave_group
from nas.train._log import Log
from nas.train._methods import Context, check_stages, progressive_step, sandwich_step
from nas.train._state import State, build_state
from nas.train._validate import Validation, evaluate
from nas.train.data import Data
from nas.train.recipe import Recipe

CHECKPOINT = "checkpoint.pt"


class TrainingStopped(NasError):
    """Training was asked to stop, and did, after writing a checkpoint."""

    exit_code = 130


@dataclass(frozen=True)
class Job:
    """One training run: what, on what, where to."""

    recipe: Recipe
    data: Data
    folder: Path
    group: Group
    plan: Plan
    stats: Stats
    digest: str

    @property
    def about(self) -> dict[str, Any]:
        """Facts that a checkpoint carries for whoever opens it without the data."""
        return {
            "data": self.data.name,
            "classes": list(self.data.classes),
            "mean": list(self.stats.mean),
            "std": list(self.stats.std),
            "size": list(self.stats.size),
        }


def train(
    recipe: Recipe,
    data: Data,
    output: str | Path,
    *,
    resume: bool = False,
    device: str | None = None,
    threads: int | None = None,
    show: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a supernet on `data` and return the model folder `output`/model.

    With `resume` a run that was stopped or killed continues from its last checkpoint, on one process to the bit.
    Raises `UsageError` (a folder in use, a changed recipe), `NasError` (a broken checkpoint or image, a diverged
    loss); after SIGINT or SIGTERM the run writes a checkpoint and raises an error of exit code 130.
    """
    if threads:
        torch.set_num_threads(threads)
    group = join_group(device)
    try:
        return _train(_job(recipe, data, Path(output), group), resume, show, tensorboard)
    finally:
        leave_group(group)


def _job(recipe: Recipe, data: Data, folder: Path, group: Group) -> Job:
    if not data.classes:
        raise UsageError(
            f"{data.name} has no classes, but a classifier learns from labels; give a folder with a folder a class"
        )
    plan = make_plan(recipe, data.count("train"), group)
    stats = measure_stats(data, data.size)
    facts = {
        "classes": list(data.classes),
        "train": data.count("train"),
        "mean": stats.mean,
        "std": stats.std,
    }
    return Job(recipe, data, folder, group, plan, stats, recipe.digest(**facts))


def _train(job: Job, resume: bool, show: bool, tensorboard: bool) -> Path:
    path = job.folder / CHECKPOINT
    if not resume and path.exists():
        raise UsageError(
            f"{job.folder} already holds a run; continue it with --resume or name a new --output"
        )
    if trained(job.folder):
        raise UsageError(f"{job.folder} is trained to its end; its model is {job.folder / 'model'}")
    checkpoint = read_checkpoint(path, job.group.device) if resume else None
    state = build_state(job.recipe, len(job.data.classes), job.plan.steps_per_epoch, job.group.device)
    check_stages(job.recipe, state.supernet.space)
    if checkpoint is not None:
        check_same(checkpoint, job.digest, job.recipe.to_dict(), path)
        state.load(checkpoint.step, checkpoint.state)
        del checkpoint
    elif job.group.leads:
        write_json(job.folder / "recipe.json", job.recipe.to_dict())
    total = job.recipe.epochs * job.plan.steps_per_epoch
    leads = job.group.leads
    log = Log(job.folder, total, state.step, show=show, leads=leads, tensorboard=tensorboard)
    try:
        validation = _loop(job, state, log)
        if leads:
            finish(job, state, validation, log)
        job.group.wait()
    finally:
        log.close()
    return job.folder / "model"


def _loop(job: Job, state: State, log: Log) -> Validation | None:
    recipe, plan = job.recipe, job.plan
    context = Context(state.supernet, recipe, plan.steps_per_epoch, _autocast(recipe, job.group.device))
    validation = Validation.of(job.data, job.stats, recipe, job.group.device) if job.group.leads else None
    every = recipe.checkpoint_steps or plan.steps_per_epoch
    mean_loss = _Mean()
    with stop_signals() as stopping:
        for images, targets in batches(recipe, job.data, plan, job.group, state.step, job.stats):
            if state.step >= context.total_steps:
                break
            loss, stop = _step(job, state, context, images, targets, stopping())
            mean_loss.add(loss)
            done = state.step
            at_epoch, at_end = done % plan.steps_per_epoch == 0, done == context.total_steps
            evaluates = at_end or (at_epoch and done // plan.steps_per_epoch % recipe.eval_epochs == 0)
            saves = at_end or stop or done % every == 0
            if evaluates or saves or done % _read_every(job.group.device) == 0:
                _tell(job, log, done, mean_loss)
            if evaluates:
                _evaluate(job, state, validation, log, mean_loss)
            if saves:
                _save(job, state)
            if stop and not at_end:
                raise TrainingStopped(
                    f"stopped after step {done} of {context.total_steps}; the same command with --resume goes on"
                )
    return validation


def _step(
    job: Job, state: State, context: Context, images: Tensor, targets: Tensor, stop: bool
) -> tuple[Tensor, bool]:
    """Do one optimizer step; returns its loss and whether any process wants to stop."""
    recipe = job.recipe
    state.optimizer.zero_grad(set_to_none=True)
    if recipe.method == "progressive":
        if state.teacher is None and state.step >= context.largest_steps:
            state.freeze_teacher()
        loss = progressive_step(context, state.step, images, targets, state.teacher)
    else:
        loss = sandwich_step(context, state.step, images, targets)
    stop = job.group.average_gradients(state.supernet.parameters(), stop)
    if recipe.grad_clip:
        torch.nn.utils.clip_grad_norm_(state.supernet.parameters(), recipe.grad_clip)
    state.optimizer.step()
    state.step += 1
    state.scheduler.step_update(state.step)
    if state.ema is not None:
        state.ema.update(state.supernet, step=state.step)
    return loss, stop


class _Mean:
    """A running mean that moves to the processor only when it is read."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    def add(self, value: Tensor) -> None:
        self.total = self.total + value
        self.count += 1

    def value(self) -> float:
        return float(self.total) / max(self.count, 1)

    def reset(self) -> None:
        self.total, self.count = 0.0, 0


def _read_every(device: torch.device) -> int:
    """After how many steps the loss is read: on CUDA only now and then, because that waits for the device."""
    return 1 if device.type == "cpu" else 20


def _tell(job: Job, log: Log, step: int, mean_loss: _Mean) -> None:
    """Show progress; raises `NasError` where a loss since the last evaluation was no number."""
    loss = mean_loss.value()
    if not math.isfinite(loss):
        raise diverged("the loss is", step, f"lr (now {job.recipe.lr})")
    log.step(step, job.plan.batch_size, loss)


def _evaluate(job: Job, state: State, validation: Validation | None, log: Log, mean_loss: _Mean) -> None:
    job.group.average_buffers(state.supernet)
    if validation is not None:
        tops = evaluate(state.averaged, validation, seed=job.recipe.seed)
        epoch = round(state.step / job.plan.steps_per_epoch, 3)
        lr = f"{state.optimizer.param_groups[0]['lr']:.6g}"
        loss = round(mean_loss.value(), 5)
        log.evaluated({"step": state.step, "epoch": epoch, "loss": loss, "lr": lr, **tops})
    mean_loss.reset()
    job.group.wait()


def _save(job: Job, state: State) -> None:
    """Write a checkpoint; where a weight of any process is no number, the one before stays and `NasError` is raised."""
    if job.group.any(not state.is_finite()):
        raise diverged("weights are", state.step, f"lr (now {job.recipe.lr})")
    if job.group.leads:
        values = Checkpoint(state.step, job.digest, job.recipe.to_dict(), job.about, state.to_dict())
        write_checkpoint(job.folder / CHECKPOINT, values)
    job.group.wait()


def _autocast(recipe: Recipe, device: torch.device) -> Callable[[], torch.autocast]:
    """Mixed precision on CUDA only: on processors bf16 autocast was measured slower for MobileNets."""
    if recipe.precision == "bf16" and device.type == "cpu":
        raise UsageError("precision bf16 trains slower than fp32 on a CPU; use --precision fp32 or auto")
    enabled = device.type == "cuda" and recipe.precision != "fp32"
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a wish that the loop reads after each step; a second SIGINT kills at once."""
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before = {}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
