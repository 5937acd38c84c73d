"""`nas mcp`: what it says before it serves; `tests/mcp` has the server itself."""

from __future__ import annotations

import json
import re
from pathlib import Path


def test_the_help_shows_what_a_client_registers(nas_run) -> None:
    done = nas_run("mcp", "--help")
    assert done.code == 0
    (snippet,) = re.findall(r"\{.*\}\}\}", done.stdout, re.DOTALL)
    assert json.loads(snippet)["mcpServers"]["anyfit"]["args"][0] == "mcp"


def test_a_folder_that_cannot_be_made_costs_a_sentence(nas_run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = nas_run("mcp", "--runs", tmp_path / "file" / "runs")
    assert done.code == 1 and "give a writable folder with --runs" in done.stderr and done.stdout == ""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    done = nas_run("mcp", "--runs", tmp_path / "link")
    assert done.code == 2 and "is a link to nothing" in done.stderr
