"""Where memory runs out: one sentence that says what would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from diffusion.pipeline.files.weights import all_weight_files
from nas.errors import NasError, is_out_of_memory
from nas.latency.units import format_bytes

Made = TypeVar("Made")


def in_batches(make: Callable[[int, int], Made], count: int, batch: int, size: str) -> list[Made]:
    """Return `make(start, stop)` of parts of at most `batch` of `count` pictures; where memory runs out, of halves.

    What is made must not depend on the parts. Raises `NasError` where one picture alone does not fit; `size` tells its
    size to readers.
    """
    found: list[Made] = []
    start = 0
    while start < count:
        stop = min(start + batch, count)
        try:
            found.append(make(start, stop))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if stop - start == 1:
                raise NasError(
                    f"the memory is not enough for a single picture of {size}; use a pipeline of fewer pixels, half "
                    "precision, or a device with more memory"
                ) from error
            batch = (stop - start) // 2
            continue
        start = stop
    return found


@contextmanager
def room_for(folder: Path) -> Iterator[None]:
    """Say in a sentence that the weights in a pipeline's folder do not fit into memory."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        total = sum(file.stat().st_size for file in all_weight_files(folder))
        raise NasError(
            f"the memory is not enough for the weights in {folder}, {format_bytes(total)} of files; use a smaller "
            "pipeline or one in half precision, or a machine with more memory"
        ) from error
