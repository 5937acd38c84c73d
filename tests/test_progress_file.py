"""Progress as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas._progress import VARIABLE, ProgressFile, read_progress


def test_what_was_written_last_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress.json"
    monkeypatch.setenv(VARIABLE, str(path))
    assert read_progress(path) is None
    told = ProgressFile()
    told.write("measuring", 0, 5)
    told.write("measuring", 1, 5)  # within a quarter of a second: left out
    assert (read_progress(path) or {})["done"] == 0
    told.write("measuring", 5, 5, "best 3")
    found = read_progress(path)
    assert found is not None and (found["stage"], found["done"], found["total"], found["note"]) == (
        "measuring",
        5,
        5,
        "best 3",
    )
    path.write_text("{")
    assert read_progress(path) is None
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]


def test_a_file_that_cannot_be_written_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing" / "progress.json"))
    ProgressFile().write("x", 0, 1)
    monkeypatch.delenv(VARIABLE)
    ProgressFile().write("x", 0, 1)
    assert not list(tmp_path.iterdir())
