"""The errors that anyfit raises, each a sentence: what was given, what is expected, what to do."""

from __future__ import annotations

from nas._errors import InfeasibleError, NasError, UsageError
from nas._extras import how_to_install
from nas._memory import is_out_of_memory

__all__ = ["InfeasibleError", "NasError", "UsageError", "how_to_install", "is_out_of_memory"]
