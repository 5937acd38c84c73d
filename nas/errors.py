"""The errors a user can cause: one sentence, one exit code."""

from __future__ import annotations

from nas._extras import how_to_install

__all__ = ["InfeasibleError", "NasError", "UsageError", "how_to_install", "is_out_of_memory"]


class NasError(Exception):
    """Something failed; the message says what was given, what is expected and what to do."""

    exit_code = 1


class UsageError(NasError):
    """A wrong argument, name or file was given."""

    exit_code = 2


class InfeasibleError(NasError):
    """No subnet of the space can keep the budget."""

    exit_code = 3


_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cannot allocate memory",
    "alloc_cpu",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or here."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
