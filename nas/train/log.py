"""What a training run tells: a bar or plain lines on stderr, `log.csv`, TensorBoard where asked for."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas._errors import UsageError
from nas._extras import how_to_install
from nas._files import write_atomic
from nas.progress import ProgressLines

_TRAINING = "training"


class Log:
    """Progress of one run: a bar or lines on stderr, rows of mean losses and figures in `log.csv`.

    Args:
        folder: Of the run, whose `log.csv` is gone on with.
        steps: Of the whole training.
        step: Finished steps; later rows of a stopped run are left out.
        columns: Of `log.csv`, in order; what a row lacks stays empty, what it has beside them is left out.
        leading: Losses of which the first that there is leads the progress line.
        shown: Losses that follow it.
        show: Whether anything is told on stderr.
        writes: Whether this process writes and tells at all.
        tensorboard: Whether rows are written for TensorBoard too.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        step: int,
        *,
        columns: Sequence[str],
        leading: Sequence[str] = ("loss",),
        shown: Sequence[str] = (),
        show: bool = True,
        writes: bool = True,
        tensorboard: bool = False,
    ) -> None:
        self._path, self._steps, self._first = folder / "log.csv", steps, step
        self._columns, self._leading, self._shown = columns, leading, shown
        self._writes, self._show = writes, show and writes
        self._rows = [row for row in read_log(folder) if int(row["step"]) <= step] if step else []
        self._started, self._speed = time.monotonic(), 0.0
        self._lines = ProgressLines(self.say)
        self._lines.write(_TRAINING, step, steps)
        self._tensorboard = _tensorboard(folder) if tensorboard and writes else None
        self._bar, self._task = _bar(steps, step) if self._show and sys.stderr.isatty() else (None, None)
        self.note = ""
        """What the progress line ends with: the figures of the last evaluation."""

    def say(self, text: str) -> None:
        """Print one remark on stderr."""
        if not self._show:
            return
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def step(self, step: int, batch_size: int, losses: Mapping[str, float]) -> None:
        """Tell that `step` steps are done."""
        now = time.monotonic()
        self._speed = batch_size * (step - self._first) / max(now - self._started, 1e-9)
        first = next((name for name in self._leading if name in losses), "")
        rest = (f"{name} {losses[name]:.3g}" for name in self._shown if name in losses and name != first)
        words = (f"loss {losses.get(first, 0.0):.3f}", f"{self._speed:.0f} images/s", *rest, self.note)
        text = " ".join(word for word in words if word)
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

    def row(self, step: int, batch_size: int, values: Mapping[str, Any]) -> None:
        """Keep the mean losses of the last steps, and figures, in `log.csv` (and TensorBoard)."""
        if not self._writes:
            return
        known = {
            name: f"{value:.5g}" if isinstance(value, float) else value for name, value in values.items()
        }
        row = {"step": step, "images": step * batch_size, **known, "images_per_s": round(self._speed, 1)}
        self._rows.append(row)
        buffer = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(
            buffer, self._columns, lineterminator="\n", extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomic(self._path, buffer.getvalue())
        if self._tensorboard is not None:
            for name, value in row.items():
                self._tensorboard.add_scalar(name, float(value), step)
            self._tensorboard.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
        if self._tensorboard is not None:
            self._tensorboard.close()


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
