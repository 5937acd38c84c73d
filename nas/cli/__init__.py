"""The command line: one file a command, each defining `command`; until one is invoked only click is imported.

Submodules are named after their commands (`list`, `eval`): no built-in of these names works in this file.
"""

from __future__ import annotations

from nas.cli._main import main
from nas.cli.group import cli

__all__ = ["cli", "main"]
