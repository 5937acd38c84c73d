"""What a generator's training tells: the common progress line with the game's losses, and `log.csv`."""

from __future__ import annotations

import csv
import io
from typing import Any

from nas._files import write_atomic
from nas.train._log import Log

COLUMNS = (
    "step",
    "images",
    "generator",
    "judge",
    "real",
    "fake",
    "r1",
    "r2",
    "pixel",
    "feature",
    "images_per_s",
)


class GameLog(Log):
    """Progress of one run in the losses of generator and discriminator."""

    def told(self, step: int, batch_size: int, losses: dict[str, float]) -> None:
        """Tell that `step` steps are done; the progress line leads with the loss that the generator lowers."""
        first = "generator" if "generator" in losses else "pixel"
        rest = (name for name in ("judge", "real", "fake", "pixel", "feature") if name in losses)
        self._note = " ".join(f"{name} {losses[name]:.3g}" for name in rest if name != first)
        self.step(step, batch_size, losses.get(first, 0.0))

    def row(self, step: int, batch_size: int, losses: dict[str, float]) -> None:
        """Keep the mean losses of the last steps in `log.csv` (and TensorBoard)."""
        values: dict[str, Any] = {"step": step, "images": step * batch_size}
        values |= {name: f"{value:.5g}" for name, value in losses.items()}
        values["images_per_s"] = round(getattr(self, "_speed", 0.0), 1)
        self._rows.append(values)
        buffer = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomic(self._path, buffer.getvalue())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, float(value), step)
            self._writer.flush()
