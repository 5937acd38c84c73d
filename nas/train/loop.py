"""The loop of trainings counted in steps: log rows, samples, checkpoints, a stop at any moment."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from nas._errors import NasError, UsageError
from nas._memory import is_out_of_memory
from nas.train._checkpoint import Checkpoint, diverged, write_checkpoint
from nas.train._finish import trained
from nas.train._group import Group, join_group
from nas.train._log import LossLog
from nas.train.engine import CHECKPOINT, TrainingStopped, stop_signals

Losses = dict[str, Tensor]


class Plan(Protocol):
    """What the loop reads of a recipe; lengths are in steps."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def checkpoint_steps(self) -> int: ...
    @property
    def sample_every(self) -> int: ...
    @property
    def log_every(self) -> int: ...
    def to_dict(self) -> dict[str, Any]: ...


class Progress(Protocol):
    """What the loop needs of a training's state; `step` counts finished steps."""

    step: int

    @property
    def device(self) -> Any: ...
    def is_finite(self) -> bool: ...
    def to_dict(self) -> dict[str, Any]: ...


def one_device(name: str | None) -> torch.device:
    """Return where to train; raises `UsageError` when several processes were started."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "this kind of model is trained by one process, but several were started; start one, with threads"
        )
    return join_group(name).device


def check_folder(folder: Path, resume: bool) -> None:
    """Raise `UsageError` for a run that is finished, or that is there already and not to be resumed."""
    if trained(folder):
        raise UsageError(f"{folder} is trained to its end; its model is {folder / 'model'}")
    if not resume and (folder / CHECKPOINT).exists():
        raise UsageError(f"{folder} already holds a run; resume it or name a new folder")


def run_steps(
    plan: Plan,
    state: Progress,
    log: LossLog,
    *,
    take: Callable[[], Losses],
    draw: Callable[[int], None],
    save: Callable[[], None],
    rates: Sequence[str] = ("lr",),
    group: Group | None = None,
) -> None:
    """Take the steps that are left: `take` one and count it, `draw` samples and `save` checkpoints when they are due.

    `rates` names the settings of the learning rates. Of the processes in `group`, all take steps and `save`, which must
    see to it that one writes; rank 0 alone draws and logs the mean losses of all. Raises `NasError` when a loss is no
    longer finite or memory runs out, and `TrainingStopped` after SIGINT or SIGTERM, when a checkpoint is written.
    """
    means, group = Means(), group or Group(0, 1, state.device)
    with stop_signals() as stopping:
        while state.step < plan.steps:
            with memory_advice(plan, state.step + 1, group.size):
                means.add(take())
            done, at_end, stop = state.step, state.step == plan.steps, group.any(stopping())
            saves = at_end or stop or done % plan.checkpoint_steps == 0
            if state.device.type == "cpu" or done % 20 == 0 or saves:
                losses = _checked(group.average_values(means.values()), done, plan, rates)
                log.told(done, plan.batch_size, losses)
            if at_end or done % plan.log_every == 0:
                losses = group.average_values(means.values())
                if group.leads:
                    log.row(done, plan.batch_size, losses)
                means = Means()
            if group.leads and (at_end or done % plan.sample_every == 0):
                draw(done)
            if saves:
                save()
            if stop and not at_end:
                raise TrainingStopped(f"stopped after step {done} of {plan.steps}; resume to go on")


@contextmanager
def memory_advice(plan: Plan, step: int, processes: int = 1) -> Iterator[None]:
    """Turn the many errors of memory that runs out into a `NasError` that says which settings need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = []
        if plan.batch_size > processes:
            half = max(plan.batch_size // (2 * processes), 1) * processes
            advice.append(f"a smaller batch_size, such as {half}")
        if getattr(plan, "gradient_checkpointing", None) is False:
            advice.append("gradient_checkpointing = true")
        if getattr(plan, "precision", None) == "fp32" and torch.cuda.is_available():
            advice.append('precision = "bf16"')
        fits = ", or ".join(advice) or "a device with more memory, or a smaller network"
        raise NasError(
            f"memory ran out at step {step} with batch_size {plan.batch_size}; what needs less is {fits}"
        ) from error


def save_checkpoint(
    folder: Path,
    plan: Plan,
    state: Progress,
    digest: str,
    about: dict[str, Any],
    writes: bool = True,
) -> None:
    """Write a checkpoint unless a weight is no longer finite; then the one before stays, and `NasError` is raised.

    Where not it but another process `writes`, it only looks at the weights.
    """
    if not state.is_finite():
        raise diverged("weights are", state.step, f"lr (now {plan.lr})")
    if writes:
        write_checkpoint(
            folder / CHECKPOINT, Checkpoint(state.step, digest, plan.to_dict(), about, state.to_dict())
        )


def _checked(losses: dict[str, float], step: int, plan: Plan, rates: Sequence[str]) -> dict[str, float]:
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        now = " and ".join(f"{name} (now {getattr(plan, name)})" for name in rates)
        raise diverged(f"the {wrong[0]} loss is", step, now)
    return losses


class Means:
    """Running means of losses that move to the processor only when they are read."""

    def __init__(self) -> None:
        self._total: Losses = {}
        self._count: dict[str, int] = {}

    def add(self, losses: Losses) -> None:
        """Count the losses of one step."""
        for name, value in losses.items():
            self._total[name] = self._total[name] + value if name in self._total else value
            self._count[name] = self._count.get(name, 0) + 1

    def values(self) -> dict[str, float]:
        """Return each loss's mean over the steps that had it."""
        return {name: float(total) / self._count[name] for name, total in self._total.items()}
