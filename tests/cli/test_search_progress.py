"""A search says what it is doing and how long that will take yet."""

from __future__ import annotations

import pytest

from nas.cli.output import shown_progress


def test_lines_in_a_pipe_tell_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with shown_progress() as advance:
        advance("loading the model", 0, 0, "")
        for done in range(31):
            advance("searching", done, 30, "best 12 dB")
            now[0] += 1.0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "loading the model ...",
        "searching ...",
        "searching: 10 of 30, best 12 dB, 20 s left",
        "searching: 20 of 30, best 12 dB, 10 s left",
        "searching: 30 of 30, best 12 dB, 0 s left",
    ]


def test_a_terminal_shows_it_beside_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown_progress() as advance:
        advance("searching", 1, 30, "")
    assert "left" in capsys.readouterr().err
