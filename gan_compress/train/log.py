"""What a generator's training tells: the common progress line with the game's losses, and `log.csv`."""

from __future__ import annotations

from typing import ClassVar

from nas.train._log import LossLog

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


class GameLog(LossLog):
    """Progress of one run in the losses of generator and discriminator."""

    columns: ClassVar[tuple[str, ...]] = COLUMNS
    leading: ClassVar[tuple[str, ...]] = ("generator", "pixel")
    shown: ClassVar[tuple[str, ...]] = ("judge", "real", "fake", "pixel", "feature")
