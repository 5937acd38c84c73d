"""The folders that are shown, and the paths that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.errors import UsageError
from nas.jobs import list_cards, read_card, runs_root, safe_folder
from tests.app.invented import write_run

BAD = [
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "",
    ".hidden",
    "~root",
    "C:x",
    "a\x00b",
    "a\nb",
    "x" * 300,
    "a\u202eb",
]


@pytest.mark.parametrize("name", BAD)
def test_no_name_leaves_the_folder_of_runs(runs: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a folder here"):
        safe_folder(name)


def test_a_link_that_leads_out_is_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "run.json").write_text("{}")
    (runs / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="leads out"):
        safe_folder("link")
    assert read_card("link") is None and list_cards() == []


def test_a_plain_name_is_a_folder_below_the_root(runs: Path) -> None:
    assert safe_folder("mbv3-cifar10-20ms-1") == runs_root() / "mbv3-cifar10-20ms-1"
    assert safe_folder("größe 2") == runs_root() / "größe 2"


def test_cards_tell_runs_exports_and_what_is_broken(runs: Path) -> None:
    write_run(runs / "good")
    write_run(runs / "died", state="running", process={"host": "elsewhere", "pid": 1, "started": 0.0})
    (runs / "half").mkdir()
    (runs / "half" / "run.json").write_text('{"format": "anyfit-run", "ver')
    (runs / "empty").mkdir()
    (runs / "empty" / "run.json").write_text("[]")
    (runs / "art").mkdir()
    (runs / "art" / "manifest.json").write_text(json.dumps({"format": "anyfit-artifact", "model": "m"}))
    (runs / "something else").mkdir()
    cards = {card.name: card for card in list_cards()}
    assert set(cards) == {"good", "died", "half", "empty", "art"}
    assert cards["good"].state == "finished" and cards["good"].budget == {"latency_ms": 1.0}
    assert cards["died"].state == "dead"
    assert "not complete JSON" in cards["half"].problem and "garbles" in cards["empty"].problem
    assert cards["art"].kind == "export"


def test_a_real_run_and_its_export(finished: Path) -> None:
    cards = {card.name: card for card in list_cards()}
    assert cards["first"].answer is not None and cards["first"].model == "mbv3-cifar10"
    assert cards["first"].info["maximised"]["label"] == "top-1"
    assert cards["first-export"].kind == "export" and not cards["first-export"].problem
