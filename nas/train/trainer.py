"""The one loop of all trainings: the same bits whether or not it was interrupted, on one process or several."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch

from nas.errors import NasError, UsageError, is_out_of_memory
from nas.files import write_json
from nas.progress import Listener
from nas.train.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    check_same,
    read_checkpoint,
    write_checkpoint,
)
from nas.train.log import Log
from nas.train.objective import Lengths, Losses, Objective, Setup
from nas.train.processes import joined
from nas.train.settings import Settings

MODEL, SAMPLES = "model", "samples"


class TrainingStopped(NasError):
    """Training was asked to stop, and did, after writing a checkpoint."""

    exit_code = 130


class TrainerOptions(TypedDict, total=False):
    """What every `train` function takes beside its own arguments; see `Trainer`."""

    resume: bool
    device: str | None
    threads: int | None
    tensorboard: bool
    progress: Listener | None


@dataclass(frozen=True)
class Trainer:
    """Trains an objective in a folder, which then holds `model`, `checkpoint.pt`, `log.csv` and `recipe.json`.

    Started by torchrun or `accelerate launch` it works in several processes, which share every batch.

    Attributes:
        folder: Of the run; made where it is missing.
        resume: Go on from the run's last checkpoint, on one process to the bit. With more steps than the run was to
            have it becomes longer, also when it was trained to its end; the rates then follow the longer schedule.
        device: "cpu", "cuda", "cuda:1"; None for CUDA where there is any.
        threads: Of torch; None leaves them as they are.
        tensorboard: Whether the rows of `log.csv` are written for TensorBoard too.
        progress: Hears the steps and other stages, and remarks (`nas.progress`); without one nothing is said.
    """

    folder: Path
    resume: bool = False
    device: str | None = None
    threads: int | None = None
    tensorboard: bool = False
    progress: Listener | None = None

    def run(self, make: Callable[[Setup], Objective]) -> Path:
        """Train the objective that `make` returns and return the model's folder.

        Raises:
            UsageError: A folder in use, a changed recipe, a batch that processes cannot share.
            NasError: A broken checkpoint; a loss or a weight that is no longer finite, where the last good checkpoint
                stays; memory that ran out. After SIGINT or SIGTERM a checkpoint is written and `TrainingStopped`
                raised, whose exit code is 130.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        with joined(self.device) as processes:
            path = self.folder / CHECKPOINT
            self._check_folder()
            checkpoint = read_checkpoint(path, processes.device) if self.resume else None
            processes.wait_for_everyone()
            objective = make(Setup(self.folder, processes, checkpoint))
            processes.shard(objective.lengths.batch_size)
            digest = objective.recipe.digest(**objective.facts)
            if checkpoint is not None:
                check_same(checkpoint, digest, objective.recipe, path)
                self._check_length(checkpoint, objective.lengths)
            self._prepare(objective, checkpoint)
            log = self._log(objective)
            try:
                if checkpoint is not None and checkpoint.steps != objective.lengths.steps:
                    log.say(_lengthened(checkpoint, objective.lengths))
                for remark in objective.remarks:
                    log.say(remark)
                _Loop(objective, log, digest).run()
                self._finish(objective, log)
            finally:
                log.close()
        return self.folder / MODEL

    def _check_folder(self) -> None:
        if self.resume:
            return
        if (self.folder / MODEL).exists():
            raise UsageError(
                f"{self.folder} is trained to its end; its model is {self.folder / MODEL}; name a new folder, or "
                "resume it with a longer training"
            )
        if (self.folder / CHECKPOINT).exists():
            raise UsageError(
                f"{self.folder} already holds a run; continue it with --resume or name a new --output"
            )

    def _check_length(self, checkpoint: Checkpoint, lengths: Lengths) -> None:
        if checkpoint.step >= lengths.steps and (self.folder / MODEL).exists():
            raise UsageError(
                f"{self.folder} is trained to its end; its model is {self.folder / MODEL}; resume it with more than "
                f"{checkpoint.step} steps to go on"
            )
        if checkpoint.step > lengths.steps:
            raise UsageError(
                f"the run has done {checkpoint.step} steps, more than {lengths.steps}; resume it with "
                f"{checkpoint.step} or more"
            )

    def _prepare(self, objective: Objective, checkpoint: Checkpoint | None) -> None:
        """Give the objective its state: that of a checkpoint, or a new one; the same on all processes."""
        objective.state = objective.build()
        if checkpoint is not None:
            objective.state.load(checkpoint.step, checkpoint.state)
        else:
            objective.begin()
        objective.setup.processes.broadcast(*objective.state.networks())
        if objective.setup.processes.is_main_process:
            write_json(self.folder / "recipe.json", objective.recipe.to_dict())

    def _log(self, objective: Objective) -> Log:
        return Log(
            self.folder, objective.lengths.steps, objective.state.step, columns=objective.columns,
            leading=objective.leading, shown=objective.shown, progress=self.progress,
            writes=objective.setup.processes.is_main_process, tensorboard=self.tensorboard,
        )  # fmt: skip

    def _finish(self, objective: Objective, log: Log) -> None:
        """Write the model; that of a run that became longer takes the place of the one before."""
        path, processes = self.folder / MODEL, objective.setup.processes
        if processes.is_main_process:
            if path.exists():
                new, old = self.folder / f".new-{MODEL}", self.folder / f".old-{MODEL}"
                for left in (new, old):
                    shutil.rmtree(left, ignore_errors=True)
                objective.finish(new, log)
                path.rename(old)
                new.rename(path)
                shutil.rmtree(old)
            else:
                objective.finish(path, log)
            log.say(f"wrote {path}")
        processes.wait_for_everyone()


def _lengthened(checkpoint: Checkpoint, lengths: Lengths) -> str:
    return (
        f"the run was to have {checkpoint.steps} steps and goes on to {lengths.steps}: from step "
        f"{checkpoint.step} its rate follows the schedule of that"
    )


class _Loop:
    """The steps that are left of an objective's training."""

    def __init__(self, objective: Objective, log: Log, digest: str) -> None:
        self._objective, self._log, self._digest = objective, log, digest
        self._state, self._lengths = objective.state, objective.lengths
        self._processes = objective.setup.processes
        self._means = _Means()

    def run(self) -> None:
        """Take the steps; an interruption ends them after a checkpoint."""
        steps = self._lengths.steps
        with _stop_signals() as stopping:
            while self._state.step < steps:
                with memory_advice(
                    self._objective.recipe,
                    self._state.step + 1,
                    self._lengths.batch_size,
                    self._processes.size,
                ):
                    self._means.add(self._objective.step())
                self._state.step += 1
                done, stop = self._state.step, self._processes.any(stopping())
                self._after(done, is_last=done == steps, stop=stop)
                if stop and done != steps:
                    raise TrainingStopped(
                        f"stopped after step {done} of {steps}; the same command with --resume goes on"
                    )

    def _after(self, done: int, *, is_last: bool, stop: bool) -> None:
        """Tell, show and save what is due after a step."""
        lengths = self._lengths
        evaluates = is_last or done % lengths.evaluate_every == 0
        logs = is_last or done % lengths.log_every == 0
        saves = is_last or stop or done % lengths.checkpoint_every == 0
        losses: dict[str, float] = {}
        if evaluates or logs or saves or done % _read_every(self._state.device) == 0:
            losses = self._processes.average_values(self._means.values())
            self._check(losses, done)
            self._log.step(done, lengths.batch_size, losses)
        figures = self._evaluate(done) if evaluates else {}
        if logs or figures:
            self._log.row(done, lengths.batch_size, {**losses, **figures})
        if logs:
            self._means = _Means()
        if saves:
            self._save()

    def _check(self, losses: dict[str, float], step: int) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                which = "the loss is" if name == "loss" else f"the {name} loss is"
                raise _diverged(which, step, self._objective)

    def _evaluate(self, done: int) -> dict[str, object]:
        """Return the figures of the main process; statistics that each process has of its own images are averaged."""
        for network in self._state.trained():
            self._processes.average(buffer for buffer in network.buffers() if buffer.is_floating_point())
        figures: dict[str, object] = {}
        if self._processes.is_main_process:
            samples = self._objective.setup.folder / SAMPLES / f"{done:07d}.png"
            figures = dict(self._objective.evaluate(samples, self._log))
        self._processes.wait_for_everyone()
        return figures

    def _save(self) -> None:
        """Write a checkpoint; where a weight of any process is no number, the one before stays."""
        objective = self._objective
        if self._processes.any(not self._state.is_finite()):
            raise _diverged("weights are", self._state.step, objective)
        if self._processes.is_main_process:
            values = Checkpoint(
                self._state.step, self._lengths.steps, self._digest, objective.recipe.to_dict(),
                dict(objective.about), self._state.to_dict(),
            )  # fmt: skip
            write_checkpoint(objective.setup.folder / CHECKPOINT, values)
        self._processes.wait_for_everyone()


@contextmanager
def memory_advice(recipe: Settings, step: int, batch_size: int, processes: int = 1) -> Iterator[None]:
    """Turn the many errors of memory that runs out into a `NasError` that says which settings need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = []
        if batch_size > processes:
            half = max(batch_size // (2 * processes), 1) * processes
            advice.append(f"a smaller batch_size, such as {half}")
        if getattr(recipe, "gradient_checkpointing", True) is False:
            advice.append("gradient_checkpointing = true")
        if getattr(recipe, "precision", None) == "fp32" and torch.cuda.is_available():
            advice.append('precision = "bf16"')
        fits = ", or ".join(advice) or "a device with more memory, or a smaller network"
        raise NasError(
            f"memory ran out at step {step} with batch_size {batch_size}; what needs less is {fits}"
        ) from error


def _read_every(device: torch.device) -> int:
    """After how many steps losses are read: on CUDA only now and then, because that waits for the device."""
    return 1 if device.type == "cpu" else 20


def _diverged(what: str, step: int, objective: Objective) -> NasError:
    rates = " and ".join(f"{name} (now {getattr(objective.recipe, name)})" for name in objective.rates)
    return NasError(
        f"{what} no longer finite at step {step}, the last checkpoint before it is kept; lower {rates} and train anew"
    )


class _Means:
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


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
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
