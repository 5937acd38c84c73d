"""What the machine lacks, in a sentence: an extra's package, room on the disk, leave to write."""

from __future__ import annotations

import errno

from nas._extras import missing

_MAKE_ROOM = "free some space and run the command again"
# What SQLite, safetensors and torch say in exceptions of their own instead of an OSError.
_FULL_DISK = ("No space left on device", "disk is full", "Disk quota exceeded")


def failure_sentence(error: Exception) -> str | None:
    """Say what the machine lacks; None for anything else."""
    if isinstance(error, ImportError):
        return missing(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}; {_MAKE_ROOM}"
    if any(sign in str(error) for sign in _FULL_DISK):
        return f"the disk is full; {_MAKE_ROOM}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return None
