"""What MkDocs asks while it builds the site: pictures and pages that stand elsewhere in the repository are added."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PICTURES = ("tests/benchmarks/results", "tests/app/pictures")
PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every measured picture as pictures/NAME, and the pages that everybody looks for beside the code."""
    for folder in PICTURES:
        for path in sorted((ROOT / folder).glob("*.png")):
            files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    for page, name in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files
