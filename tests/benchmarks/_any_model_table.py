"""The table of `bench_any_model`: its columns, other libraries' answers, and what it says as a whole."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from nas.files import write_atomic
from tests.benchmarks._conditions import facts

PEERS = {"torch-pruning": "1.6.1", "torch-kirigami": "0.2.1"}
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "diffusers")
COLUMNS = (
    "model", "input", "params_millions", "result", "proof_error", "proof_moved", "refuted", "wrong", "dimensions",
    "elastic_params", "elastic_macs", "smallest_params", "smallest_macs", "normalised_anew", "exported", "seconds",
    "seconds_by_stage", "reason",
)  # fmt: skip
PEER_COLUMNS = ("result", "params", "proof", "seconds", "reason")

Row = dict[str, Any]


class Peer:
    """Another library in an environment of its own, asked about one model after another."""

    def __init__(self, name: str, seconds: float) -> None:
        script = Path(__file__).with_name("_any_model_peers.py")
        command = [str(_environment(name)), str(script), name, str(seconds)]
        log = (Path(tempfile.gettempdir()) / f"anyfit-{name}.log").open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )

    def __call__(self, model: str) -> Row:
        """Return what is left of a model, or why there is nothing."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(model, file=self._process.stdin, flush=True)
        while not (line := self._process.stdout.readline()).startswith("{"):  # models print too
            if not line:
                return {"result": "refused", "reason": "its process ended"}
        found = json.loads(line)
        return {"result": "refused", **found, "reason": found.get("error", "")}


def _environment(peer: str) -> Path:
    """Return the interpreter of an environment with a library and what makes the models."""
    folder = Path(tempfile.gettempdir()) / f"anyfit-{peer}-{PEERS[peer]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        pins = [f"{name}=={version(name)}" for name in LIBRARIES]
        uv = [str(Path(sys.executable).with_name("uv"))]
        subprocess.run(
            [*uv, "venv", "--clear", "--quiet", "--python", sys.executable, str(folder)], check=True
        )
        packages = [*pins, f"{peer}=={PEERS[peer]}"]
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
        (folder / "complete").touch()
    return python


def of_peer(peer: str, found: Mapping[str, Any]) -> Row:
    return {f"{peer}_{column}".replace("-", "_"): found.get(column, "") for column in PEER_COLUMNS}


def summary(rows: Sequence[Row]) -> str:
    """Return how many of how many models are what."""
    rows = [dict.fromkeys(COLUMNS, "") | row for row in rows]
    ours = [row for row in rows if row["result"]]
    done = [row for row in ours if row["result"] in ("modules", "graph")]
    results = Counter(row["result"] for row in ours)

    def share(name: str, is_so: Callable[[Row], bool]) -> str:
        count = sum(map(is_so, ours))
        return f"{name}: {count} of {len(ours)} ({count / max(1, len(ours)):.0%})"

    def middle(column: str, some: Sequence[Row]) -> float:
        return median([float(row[column]) for row in some if row[column]] or [0.0])

    lines = [
        share("derived and proved", lambda row: row in done and not row["wrong"]),
        share("wrong", lambda row: bool(row["wrong"])),
        share("made of the model's own modules", lambda row: row["result"] == "modules"),
        share("exported, and equal in ONNX Runtime", lambda row: row["exported"] == "equal"),
        f"refused: {results['refused']}; not done: {results['error']}",
        f"seconds: median {middle('seconds', ours):.1f}, most {max([float(r['seconds'] or 0) for r in ours] or [0]):.0f}",
        f"elastic: {middle('elastic_params', done):.1%} of parameters, {middle('elastic_macs', done):.1%} of MACs (medians)",
        f"the smallest subnet has {middle('smallest_params', done):.1%} of parameters, {middle('smallest_macs', done):.1%} "
        "of MACs (medians)",
    ]
    for peer in PEERS:
        own = peer.replace("-", "_")
        asked = [row for row in rows if row.get(f"{own}_result")]
        runs = [row for row in asked if row[f"{own}_result"] == "runs"]
        proofs = Counter(row[f"{own}_proof"].partition(" (")[0].partition(":")[0] for row in runs)
        lines.append(
            f"{peer}: runs with the right shape {len(runs)} of {len(asked)}; as masked: {dict(proofs)}"
        )
    return "\n".join(lines)


def merged(tables: Sequence[Mapping[str, Row]]) -> dict[str, Row]:
    """Return one table of several; a cell is that of the last in which it is not empty."""
    found: dict[str, Row] = {}
    for table in tables:
        for model, row in table.items():
            found[model] = found.get(model, {}) | {column: cell for column, cell in row.items() if cell}
    return found


def read(path: Path) -> dict[str, Row]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["model"]: dict(row) for row in csv.DictReader(file)}


def write(path: Path, rows: Sequence[Row]) -> None:
    peers = [column for peer in PEERS for column in of_peer(peer, {})]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *peers, *facts(), "timm"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
