"""Progress as a file, and as lines where there is no bar."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.progress import VARIABLE, ProgressFile, ProgressLines, duration, read_progress


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


def test_lines_come_now_and_then_and_tell_the_time_left() -> None:
    now, said = [0.0], []
    lines = ProgressLines(said.append, clock=lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        lines.write("measuring", second, 100, "best 3")
    assert said[0] == "measuring: 10 of 100, best 3, 1 min 30 s left"
    assert said[-1] == "measuring: 60 of 100, best 3, 40 s left" and len(said) == 6


def test_what_is_quick_or_resumed_is_told_as_it_is() -> None:
    now, said = [0.0], []
    lines = ProgressLines(said.append, clock=lambda: now[0])
    lines.write("quick", 0, 2)
    now[0] = 9.0
    lines.write("quick", 2, 2)
    assert said == []
    lines.write("resumed", 900, 1000)
    now[0] = 29.0
    lines.write("resumed", 920, 1000)
    lines.write("unknown", 0, 0)
    now[0] = 40.0
    lines.write("unknown", 0, 0, "still reading")
    assert said == ["resumed: 920 of 1000, 1 min 20 s left", "unknown: still reading"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (4800, "1 h 20 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
