"""The errors a user can cause: one sentence, one exit code."""

from __future__ import annotations


class NasError(Exception):
    """Something failed; the message says what was given, what is expected and what to do."""

    exit_code = 1


class UsageError(NasError):
    """A wrong argument, name or file was given."""

    exit_code = 2


class InfeasibleError(NasError):
    """No subnet of the space can keep the budget."""

    exit_code = 3
