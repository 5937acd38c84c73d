"""What a training run tells: its progress, `log.csv`, TensorBoard where asked for."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas._extras import how_to_install
from nas.errors import UsageError
from nas.files import write_atomic
from nas.progress import Listener, Steps, as_progress

_TRAINING = "training"


class Log:
    """Progress of one run, and rows of mean losses and figures in `log.csv`.

    Args:
        folder: Of the run, whose `log.csv` is gone on with.
        steps: Of the whole training.
        step: Finished steps; later rows of a stopped run are left out.
        columns: Of `log.csv`, in order; what a row lacks stays empty, what it has beside them is left out.
        leading: Losses of which the first that there is leads the progress line.
        shown: Losses that follow it.
        progress: Hears the steps, and what a reader should see; None for nobody.
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
        progress: Listener | None = None,
        writes: bool = True,
        tensorboard: bool = False,
    ) -> None:
        self._path, self._steps, self._first = folder / "log.csv", steps, step
        self._columns, self._leading, self._shown = columns, leading, shown
        self._writes, self._progress = writes, as_progress(progress if writes else None)
        self._rows = [row for row in read_log(folder) if int(row["step"]) <= step] if step else []
        self._started, self._speed = time.monotonic(), 0.0
        self._progress(_TRAINING, step, steps)
        self._tensorboard = _tensorboard(folder) if tensorboard and writes else None
        self.note = ""
        """What the progress line ends with: the figures of the last evaluation."""

    def say(self, text: str) -> None:
        """Tell one remark."""
        self._progress.remark(text)

    def step(self, step: int, batch_size: int, losses: Mapping[str, float]) -> None:
        """Tell that `step` steps are done."""
        now = time.monotonic()
        self._speed = batch_size * (step - self._first) / max(now - self._started, 1e-9)
        first = next((name for name in self._leading if name in losses), "")
        rest = (f"{name} {losses[name]:.3g}" for name in self._shown if name in losses and name != first)
        words = (f"loss {losses.get(first, 0.0):.3f}", f"{self._speed:.0f} images/s", *rest, self.note)
        self._progress(_TRAINING, step, self._steps, " ".join(word for word in words if word))

    def stage(self, name: str) -> Steps:
        """Say that something else begins that takes a while; returns what hears how far it is, `done` of `total`."""
        return self._progress.steps(name)

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
        """End what TensorBoard reads."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's `log.csv`, or none."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"--tensorboard needs TensorBoard, which is not installed; {how_to_install('logs')}"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
