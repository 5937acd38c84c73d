"""Files and folders as anyfit keeps them: written beside and renamed, so that nothing is left half-written."""

from __future__ import annotations

from nas._files import cache_folder, new_folder, read_json, replacing, sha256, write_atomic, write_json

__all__ = ["cache_folder", "new_folder", "read_json", "replacing", "sha256", "write_atomic", "write_json"]
