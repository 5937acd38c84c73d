"""What is run when a latency is measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nas.errors import UsageError

PRECISIONS = ("fp32", "bf16", "fp16")


def available_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def default_threads() -> int:
    """Return two threads, or one where the process may use a single core."""
    return min(2, available_cores())


@dataclass(frozen=True)
class Workload:
    """Images in one pass, threads and number format; the resolution belongs to the subnet.

    Raises `UsageError` for a size below one or an unknown precision.
    """

    batch_size: int = 1
    threads: int = field(default_factory=default_threads)
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise UsageError(f"the workload's {name} is {value!r}; give a whole number of at least 1")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"the workload's precision is {self.precision!r}; give one of {', '.join(PRECISIONS)}"
            )

    @property
    def key(self) -> str:
        """A short name for file names: "b1-t2-fp32"."""
        return f"b{self.batch_size}-t{self.threads}-{self.precision}"

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"batch {self.batch_size}, {threads}, {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Workload:
        """Read the JSON object; an unknown or missing entry raises `UsageError`."""
        if set(value) != {"batch_size", "threads", "precision"}:
            raise UsageError(
                f"a workload has batch_size, threads and precision, but {sorted(value)} are given; give these three"
            )
        return cls(**value)
