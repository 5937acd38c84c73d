"""What is in the folder of runs: searches and exports, without opening what is large in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import NasError, UsageError
from nas.files import read_json
from nas.jobs._folders import runs_root, safe_folder
from nas.search import RUNNING, is_alive


@dataclass(frozen=True)
class Card:
    """What is known of a folder without opening what is large in it.

    `kind` is "search" or "export"; `state` that of the run ("dead" where it says it is running and is not);
    `problem` says why a folder cannot be read. `figures` are words for readers.
    """

    name: str
    kind: str
    state: str = ""
    model: str = ""
    changed: float = 0.0
    budget: Mapping[str, float] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def list_cards() -> list[Card]:
    """Return all runs and exports below the root, the newest first; broken ones say what is wrong with them."""
    root = runs_root()
    if not root.is_dir():
        return []
    names = [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    cards = [card for name in names if (card := read_card(name)) is not None]
    return sorted(cards, key=lambda card: card.changed, reverse=True)


def read_card(name: str) -> Card | None:
    """Return a folder's card, None where it is neither a run nor an export (or leads elsewhere)."""
    try:
        path = safe_folder(name)
    except UsageError:
        return None
    for file, kind, read in (("run.json", "search", _run), ("manifest.json", "export", _export)):
        if (path / file).is_file():
            changed = (path / file).stat().st_mtime
            try:
                return Card(name, kind, changed=changed, **read(read_json(path / file)))
            except (NasError, KeyError, TypeError, ValueError, AttributeError) as error:
                reason = (
                    str(error)
                    if isinstance(error, NasError)
                    else f"{file} lacks or garbles a field ({error!r})"
                )
                return Card(name, kind, state="broken", changed=changed, problem=reason)
    return None


def _run(info: Any) -> dict[str, Any]:
    if info["format"] != "anyfit-run":
        raise ValueError("not a run of anyfit")
    state, result = str(info["state"]), info.get("result") or {}
    process = info.get("process")
    if state == RUNNING and not (process and is_alive(process)):
        state = "dead"
    answer = result.get("answer")
    if answer is not None:
        float(answer["latency_ms"]["measured"])
        float(answer["quality"]["value"])
    return {
        "state": state,
        "model": Path(str(info["model"])).name,
        "budget": dict(info["budget"]),
        "answer": answer,
        "info": info,
    }


def _export(info: Any) -> dict[str, Any]:
    if info["format"] != "anyfit-artifact":
        raise ValueError("not an export of anyfit")
    return {"state": "finished", "model": str(info["model"]), "info": info}


def searches() -> list[Card]:
    """Return the runs that can be explored: those that have a table."""
    root = runs_root()
    return [
        card for card in list_cards() if card.kind == "search" and (root / card.name / "pareto.csv").is_file()
    ]
