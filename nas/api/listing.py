"""What there is to work with: models, runs, exported networks, latency profiles. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas import export, latency, models, search
from nas._table import Table
from nas.errors import NasError
from nas.files import read_json


@dataclass(frozen=True)
class Listing:
    """What was found, each entry as a JSON object; damaged ones say so.

    Attributes:
        models: Shipped, cached and trained supernets.
        runs: Searches.
        artifacts: Exported networks.
        profiles: This machine's latency profiles.
    """

    models: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    artifacts: Sequence[Mapping[str, Any]]
    profiles: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {name: [*getattr(self, name)] for name in ("models", "runs", "artifacts", "profiles")}

    def tables(self) -> dict[str, Table]:
        """Return a table for each kind of which there is something, by its title."""
        titled = {
            "models": self.models, "runs": self.runs, "exported": self.artifacts, "latency profiles": self.profiles,
        }  # fmt: skip
        return {title: _table(rows) for title, rows in titled.items() if rows}

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{title}</h4>{table._repr_html_()}" for title, table in self.tables().items())


def list_all(folders: Sequence[str | Path] = ()) -> Listing:
    """Return the shipped and cached models, this machine's profiles, and what was trained, searched and exported.

    Args:
        folders: In, below, or in `model` below these is looked; none for ./runs and the current folder.
    """
    places = tuple(map(Path, folders)) or (Path("runs"), Path())
    supernets = [_model(path, kind, name) for name, path, kind in models.available_models()]
    supernets += [_model(path, "trained") for path in _find(places, "supernet.json")]
    for name, source in models.folder_sources().items():
        found = [path for path in _find(places, source.mark) if not (path / "manifest.json").is_file()]
        supernets += [_model(path, name) for path in found]
    runs = [_run(path) for path in _find(places, "run.json", "anyfit-run")]
    artifacts = [_artifact(path) for path in _find(places, "manifest.json", "anyfit-artifact")]
    return Listing(supernets, runs, artifacts, [_profile(path) for path in latency.cached_profiles()])


def _find(places: tuple[Path, ...], mark: str, format: str | None = None) -> list[Path]:
    """Return the folders with a file `mark` (of the given format) in, below or in `model` below the places."""
    found = {
        path.parent
        for place in places
        for pattern in ("", "*", "*/model")
        for path in _marks(place, pattern, mark)
    }
    return sorted(path for path in found if format is None or _format(path / mark) in (format, None))


def _marks(place: Path, pattern: str, mark: str) -> list[Path]:
    try:
        found = [*place.glob(f"{pattern}/{mark}" if pattern else mark)]
    except OSError:
        return []
    # What is being written has a name with a dot until it is whole.
    return [path for path in found if not path.relative_to(place).parts[0].startswith(".")]


def _format(path: Path) -> str | None:
    """Return the format a JSON file names, None for one that cannot be read (it is then listed as damaged)."""
    try:
        value = read_json(path)
    except NasError:
        return None
    return value.get("format", "") if isinstance(value, dict) else ""


def _model(path: Path, kind: str, name: str | None = None) -> dict[str, Any]:
    try:
        config = models.read_model_config(path)
    except NasError:
        return {"name": name or path.name, "kind": f"{kind}, damaged", "path": str(path)}
    return {
        "name": name or config["name"],
        "kind": kind,
        "family": config["family"],
        "classes": len(config["classes"]) or None,
        "test": config.get("info", {}).get("test"),
        "path": str(path),
    }


def _run(path: Path) -> dict[str, Any]:
    try:
        run = read_json(path / "run.json")
    except NasError:
        return {"path": str(path), "state": "damaged"}
    answer = (run.get("result") or {}).get("answer")
    found = {"quality": answer["quality"], "latency_ms": answer["latency_ms"]} if answer else {}
    return {
        "path": str(path),
        "state": run.get("state"),
        "model": run.get("model"),
        "budget": run.get("budget"),
        **found,
    }


def _artifact(path: Path) -> dict[str, Any]:
    try:
        manifest = export.read_manifest(path)
    except NasError:
        return {"path": str(path), "state": "damaged"}
    quality = {found.kind: asdict(found) for found in manifest.quality}
    latency = {found.kind: found.median_ms for found in manifest.latency}
    return {
        "path": str(path),
        "model": manifest.model,
        "files": sorted(manifest.files),
        "quality": quality.get("measured", quality.get("predicted")),
        "latency_ms": latency.get("measured", latency.get("predicted")),
        "macs": manifest.macs,
        "params": manifest.params,
    }


def _profile(path: Path) -> dict[str, Any]:
    try:
        profile = read_json(path)
        bound = profile["bound"]
        how = {
            "runtime": bound["runtime"],
            "workload": bound["workload"],
            "samples": len(profile["samples"]["codes"]),
        }
    except (NasError, KeyError, TypeError):
        return {"path": str(path), "state": "damaged"}
    return {"path": str(path), **how, "median_error_pct": profile.get("error", {}).get("median_pct")}


# --- as tables --------------------------------------------------------------------------------------------------------


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = [*dict.fromkeys(key for row in rows for key in row if key != "files")]
    columns.sort(key=lambda column: column == "path")  # the longest stands last
    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    return Table([_HEADS.get(column, column) for column in columns], cells, ("folder",))


_HEADS = {
    "path": "folder",
    "latency_ms": "latency",
    "macs": "MACs",
    "params": "parameters",
    "median_error_pct": "median error %",
}


def _cell(column: str, value: Any) -> str:
    if value is None or value == {}:
        return "–"
    if column == "test":
        # {"largest_top1": 85.1, "smallest_top1": 76.2, ...}
        ends = [key for end in ("smallest", "largest") for key in value if key.startswith(f"{end}_")]
        names = dict.fromkeys(key.partition("_")[2] for key in ends)
        return ", ".join(
            f"{name} " + " to ".join(f"{value[key]:.4g}" for key in ends if key.partition("_")[2] == name)
            for name in names
        )
    if column == "budget":
        return str(search.Budget.from_dict(value))
    if column == "quality":
        return f"{value['name']} {models.quality_text(value['value'], value['unit'])}"
    if column == "latency_ms":
        ms = (value.get("measured") or value["predicted"]) if isinstance(value, dict) else value
        return latency.format_ms(ms)
    if column in ("macs", "params"):
        return latency.format_count(value)
    if column == "workload":
        return ", ".join(f"{key.replace('_', ' ')} {entry}" for key, entry in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


__all__ = ["Listing", "list_all"]
