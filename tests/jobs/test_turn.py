"""The turn: one measures, others are told so or wait."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nas import jobs
from nas.errors import UsageError
from nas.search import own_process


def test_a_turn_that_is_taken_is_refused_with_who_has_it(runs: Path) -> None:
    with jobs.turn():
        with pytest.raises(UsageError, match="something is measuring here"), jobs.turn():
            raise AssertionError("two have the turn")
        folder = jobs.jobs_root() / "20260101-000000-abcdef"
        folder.mkdir()
        info = {"kind": "search", "title": "Search", "argv": ["search"], "created": 0.0}
        jobs.write_info(folder, info | {"state": "running", "supervisor": own_process()})
        with (
            pytest.raises(UsageError, match=r"job 20260101-000000-abcdef \(Search\) is measuring"),
            jobs.turn(),
        ):
            raise AssertionError("two have the turn")
    with jobs.turn():
        pass


def test_who_waits_has_the_turn_afterwards(runs: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with jobs.turn(wait=True):
            order.append("second")

    with jobs.turn():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
