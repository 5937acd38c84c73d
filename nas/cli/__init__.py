"""The command line: one file a command, each defining `command`; until one is invoked only click is imported.

Submodules are named after their commands (`list`, `eval`): no built-in of these names works in this file.
"""

from __future__ import annotations

from nas.cli._group import cli
from nas.cli._main import main

__all__ = ["cli", "main"]
