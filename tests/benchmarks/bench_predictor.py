"""How well a latency predictor does from how many measured subnets: ours against MACs alone and a plain one-hot ridge.

    python -m tests.benchmarks.bench_predictor [--model NAME] [--tables-only] [--output FILE]

"here" measures subnets of the model on this machine exactly as `nas profile` does. The tables are published latencies
of once-for-all networks on GPUs (HELP, 5,000 architectures), where the MACs are those at 224 px times (resolution /
224)². Fitted to random samples and judged on others; figures are medians over the repeats.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.predict.surrogate import Surrogate, errors
from nas.space import SearchSpace
from tests.benchmarks._conditions import CONDITIONS, neighbour

RESULTS = Path(__file__).with_name("results") / "predictor.csv"
TABLES = ("v100_1", "v100_64", "2080ti_32")
"""GPU and batch size."""
SAMPLES_HERE = 150
_REPEATS = 5
_JUDGED = 1000


@dataclass(frozen=True)
class Data:
    """Codes (n, d), features (n, k), total MACs (n,), latency in ms (n,); the first `ends` are always fitted."""

    space: SearchSpace
    codes: np.ndarray
    base: np.ndarray
    macs: np.ndarray
    ms: np.ndarray
    ends: int = 0


Predict = Callable[[Data, np.ndarray, np.ndarray], tuple[np.ndarray, str]]


def _ours(data: Data, fit: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, str]:
    fitted = Surrogate.fit(data.space, data.codes[fit], data.ms[fit], base=data.base[fit])
    return fitted.predict(data.codes[rest], base=data.base[rest]), fitted.kind


def _macs_only(data: Data, fit: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, str]:
    slope, intercept = np.polyfit(data.macs[fit], data.ms[fit], 1)
    return slope * data.macs[rest] + intercept, "line"


def _one_hot(data: Data, fit: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, str]:
    fitted = Surrogate.fit(data.space, data.codes[fit], data.ms[fit], kinds=("ridge",))
    return fitted.predict(data.codes[rest]), fitted.kind


METHODS: Mapping[str, Predict] = {"anyfit": _ours, "macs": _macs_only, "one-hot ridge": _one_hot}


def evaluator(source: str, data: Data, samples: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each method, fitted on `samples` of the data in each repeat and judged on others."""
    found: dict[str, list[tuple[dict[str, float], str]]] = {name: [] for name in METHODS}
    for seed in range(repeats):
        order = data.ends + np.random.default_rng(seed).permutation(len(data.ms) - data.ends)
        order = np.concatenate([np.arange(data.ends), order])
        fit, rest = order[:samples], order[samples : samples + _JUDGED]
        for name, predict in METHODS.items():
            predicted, kind = predict(data, fit, rest)
            found[name].append((errors(predicted, data.ms[rest]), kind))
    rows = []
    for name, results in found.items():
        figures = {
            key: round(statistics.median(result[key] for result, _ in results), 3)
            for key in ("median_pct", "within_10pct", "kendall")
        }
        judged = {"fitted": samples, "judged": int(results[0][0]["n"]), "repeats": repeats}
        rows.append({"source": source, "method": name, **judged, **figures, "kind": results[0][1]})
        print(f"{source}: {name} from {samples}: {figures}", file=sys.stderr)
    return rows


@contextmanager
def _empty_cache() -> Iterator[None]:
    before = os.environ.get("ANYFIT_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ANYFIT_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("ANYFIT_CACHE")
            if before is not None:
                os.environ["ANYFIT_CACHE"] = before


def measured_here(name: str, samples: int, condition: str = "idle") -> Data:
    """Measure subnets of a model on this machine, as `nas profile` does, alone or beside a neighbour."""
    from nas.latency.profiles.profile import latency_features
    from nas.latency.profiles.profiling import build_profile
    from nas.latency.runtimes import default_runtime
    from nas.latency.workload import Workload
    from nas.models import load_model

    model = load_model(name)
    with _empty_cache(), neighbour(condition):
        profile = build_profile(model, default_runtime(), Workload(), samples=samples)
    macs = model.supernet.counts(profile.codes)["macs"].astype(np.float64)
    base = latency_features(model)(profile.codes)
    return Data(model.space, profile.codes, base, macs, profile.median_ms, ends=2)


def published(path: Path) -> dict[str, Data]:
    """Read the published GPU latencies."""
    import pyarrow.parquet as parquet

    from nas.elastic import Supernet
    from nas.families import get_family

    table = parquet.read_table(path)
    supernet = Supernet(get_family("ofa-mbv3"))
    space = supernet.space
    codes = _codes(space, table)
    at_224 = codes.copy()
    at_224[:, space.names.index("resolution")] = len(space.dimensions[0].choices) - 1
    scale = (table["resolution"].to_numpy() / 224.0) ** 2
    macs = supernet.part_macs(at_224) * scale[:, None]
    total = macs.sum(1)
    base = np.column_stack([macs, total, np.log(total), (macs > 0).sum(1)])
    return {
        name: Data(space, codes, base, total, table[f"latency_ms.{name}"].to_numpy().astype(np.float64))
        for name in TABLES
    }


def _codes(space: SearchSpace, table: Any) -> np.ndarray:
    columns = {"resolution": table["resolution"].to_numpy()}
    depths, kernels, expands = (np.array(table[name].to_pylist()) for name in ("d", "ks", "e"))
    for stage in range(5):
        columns[f"stage{stage + 1}.depth"] = depths[:, stage]
        for block in range(4):
            columns[f"stage{stage + 1}.block{block + 1}.kernel"] = kernels[:, 4 * stage + block]
            columns[f"stage{stage + 1}.block{block + 1}.expand"] = expands[:, 4 * stage + block]
    found = [np.searchsorted(np.array(dim.choices), columns[dim.name]) for dim in space.dimensions]
    return space.canonical_codes(np.stack(found, axis=1).astype(np.int16))


def _shared_table() -> Path:
    shared = Path(os.environ.get("ANYFIT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    return shared / "data" / "nas-tables" / "ofa_mbv3_gpu_latency.parquet"


def _run(given: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    if not given.tables_only:
        for condition in CONDITIONS:
            data = measured_here(given.model, given.samples, condition)
            for samples in (n for n in (20, 50, 80, 100) if n + 10 <= len(data.ms)):
                rows += evaluator(f"here, {condition}", data, samples, _REPEATS)
    if not (path := _shared_table()).exists():
        print("the GPU tables are skipped: name their folder in ANYFIT_SHARED", file=sys.stderr)
        return rows
    for name, data in published(path).items():
        for samples, repeats in ((20, _REPEATS), (100, _REPEATS), (1000, 1)):
            rows += evaluator(name, data, samples, repeats)
    return rows


def _kept(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of an earlier run about what this one did not look at."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["source"] not in {own["source"] for own in rows}]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mbv3-cifar10")
    parser.add_argument("--samples", type=int, default=SAMPLES_HERE, help="subnets to measure here")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing on this machine")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    facts = {
        "machine": str(machine_fingerprint()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("onnxruntime", "numpy", "scikit-learn", "anyfit")},
    }
    rows = [{**row, **facts} for row in _run(given)]
    if not rows:
        sys.exit("nothing to judge: give ANYFIT_SHARED, or leave out --tables-only")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([*_kept(given.output, rows), *rows])
    write_atomic(given.output, text.getvalue())
    print(f"{'latency':>10} {'fitted on':>10} {'method':>14} {'median error':>13} {'Kendall τ':>10}")
    for row in rows:
        print(
            f"{row['source']:>10} {row['fitted']:>10} {row['method']:>14} {row['median_pct']:>12.2f}% "
            f"{row['kendall']:>10.3f}"
        )


if __name__ == "__main__":
    main()
