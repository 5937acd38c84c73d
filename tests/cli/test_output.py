"""Results on stdout, progress on stderr, and JSON that any reader takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nas.cli.output import emit_json, log, log_console, result_console, shown_progress


class _Described:
    def to_dict(self) -> dict[str, float]:
        return {"latency_ms": float("nan")}


def test_json_is_one_object_of_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "macs": np.int64(7),
        "top1": np.float64(91.5),
        "ladder": np.arange(2),
        "run_dir": Path("runs") / "a",
        "answer": _Described(),
        "fits": np.bool_(True),
        "limit": float("inf"),
        "name": "MobileNetV3 ×1.2",
        3: (None, True),
    }
    emit_json(value)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "×" in captured.out
    assert json.loads(captured.out, parse_constant=pytest.fail) == {
        "macs": 7,
        "top1": 91.5,
        "ladder": [0, 1],
        "run_dir": str(Path("runs") / "a"),
        "answer": {"latency_ms": None},
        "fits": True,
        "limit": None,
        "name": "MobileNetV3 ×1.2",
        "3": [None, True],
    }


def test_json_refuses_what_it_cannot_say() -> None:
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        emit_json({"x": object()})


def test_streams(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    result_console().print("answer " * 18)
    log_console().print("progress")
    log("remark")
    captured = capsys.readouterr()
    assert captured.out == "answer " * 18 + "\n"
    assert captured.err == "progress\nremark\n"


def test_columns_set_the_width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert result_console().width == 72


def test_quick_progress_stays_out_of_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(announces=False) as progress:
        advance = progress.steps("measuring")
        advance(1, 3, "fastest 2 ms")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_long_progress_is_lines_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with shown_progress(announces=False) as progress:
        advance = progress.steps("measuring")
        for done in range(1, 41):
            now[0] += 1.0
            advance(done, 40)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "measuring: 10 of 40, 30 s left",
        "measuring: 20 of 40, 20 s left",
        "measuring: 30 of 40, 10 s left",
        "measuring: 40 of 40, 0 s left",
    ]
