"""What a training run tells: a bar or plain lines on stderr, `log.csv`, TensorBoard where asked for."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from nas._errors import UsageError
from nas._extras import how_to_install
from nas._files import write_atomic
from nas._progress import ProgressLines

COLUMNS = ("step", "epoch", "loss", "lr", "largest_top1", "smallest_top1", "random_top1", "images_per_s")
_TRAINING = "training"


class Log:
    """Progress of one run; silent unless it leads and `show` is set."""

    def __init__(
        self, folder: Path, steps: int, step: int, *, show: bool, leads: bool, tensorboard: bool
    ) -> None:
        self._path = folder / "log.csv"
        self._steps = steps
        self._leads = leads
        self._rows = [row for row in read_log(folder) if int(row["step"]) <= step] if step else []
        self._show = show and leads
        self._started = time.monotonic()
        self._lines = ProgressLines(self.say)
        self._lines.write(_TRAINING, step, steps)
        self._first = step
        self._note = ""
        self._writer = _tensorboard(folder) if tensorboard and leads else None
        self._bar, self._task = _bar(steps, step) if self._show and sys.stderr.isatty() else (None, None)

    def say(self, text: str) -> None:
        """Print one remark on stderr."""
        if not self._show:
            return
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def step(self, step: int, batch_size: int, loss: float) -> None:
        """Tell that `step` steps are done."""
        now = time.monotonic()
        self._speed = batch_size * (step - self._first) / max(now - self._started, 1e-9)
        text = f"loss {loss:.3f} {self._speed:.0f} images/s {self._note}".strip()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, note=text)
        elif self._show:
            self._lines.write(_TRAINING, step, self._steps, text)

    def stage(self, name: str) -> Callable[[int, int], None]:
        """Say that something else begins that takes a while; returns what tells how far it is, `done` of `total`."""
        self.say(name)
        if self._bar is None:
            self._lines.write(name, 0, 0)
            return (lambda done, total: self._lines.write(name, done, total)) if self._show else _silent
        bar, task = self._bar, self._bar.add_task(name, total=None, note="")
        return lambda done, total: bar.update(task, completed=done, total=total)

    def evaluated(self, row: dict[str, Any]) -> None:
        """Keep one evaluation in `log.csv` (and TensorBoard) and tell it."""
        if not self._leads:
            return
        row = {**row, "images_per_s": round(getattr(self, "_speed", 0.0), 1)}
        self._rows.append(row)
        buffer = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomic(self._path, buffer.getvalue())
        words = " ".join(f"{name} {row[f'{name}_top1']:.1f}%" for name in ("largest", "smallest", "random"))
        self._note = words
        self.say(f"epoch {row['epoch']}: loss {row['loss']:.3f}, top-1 {words}")
        if self._writer is not None:
            for name in COLUMNS[2:]:
                self._writer.add_scalar(name, float(row[name]), int(row["step"]))
            self._writer.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
        if self._writer is not None:
            self._writer.close()


class LossLog(Log):
    """Progress of a training that is counted in steps and tells its losses.

    `columns` are those of `log.csv`; the progress line leads with the first loss of `leading` that there is, and adds
    those of `shown`.
    """

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "images_per_s")
    leading: ClassVar[tuple[str, ...]] = ("loss",)
    shown: ClassVar[tuple[str, ...]] = ()

    def told(self, step: int, batch_size: int, losses: dict[str, float]) -> None:
        """Tell that `step` steps are done."""
        first = next((name for name in self.leading if name in losses), "")
        rest = (name for name in self.shown if name in losses and name != first)
        self._note = " ".join(f"{name} {losses[name]:.3g}" for name in rest)
        self.step(step, batch_size, losses.get(first, 0.0))

    def row(self, step: int, batch_size: int, losses: dict[str, float]) -> None:
        """Keep the mean losses of the last steps in `log.csv` (and TensorBoard)."""
        values: dict[str, Any] = {"step": step, "images": step * batch_size}
        values |= {name: f"{value:.5g}" for name, value in losses.items()}
        values["images_per_s"] = round(getattr(self, "_speed", 0.0), 1)
        self._rows.append(values)
        buffer = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(buffer, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomic(self._path, buffer.getvalue())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, float(value), step)
            self._writer.flush()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's `log.csv`, or none."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _bar(steps: int, step: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    bar = Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True))
    bar.start()
    return bar, bar.add_task(_TRAINING, total=steps, completed=step, note="")


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"--tensorboard needs TensorBoard, which is not installed; {how_to_install('logs')}"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
