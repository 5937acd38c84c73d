"""Pictures as files: one, or many as one sheet."""

from __future__ import annotations

from nas._pictures import check_output, flat, grid, listed, write_png

__all__ = ["check_output", "flat", "grid", "listed", "write_png"]
