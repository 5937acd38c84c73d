"""A search of the zoo: its seconds, its answer, and how far predictors of published models' latency err here.

    python -m tests.benchmarks.bench_zoo [--latency 20ms] [--threads 1] [--output FILE]

The first search of a machine measures some 60 models; it goes on where an interrupted one stopped. The predictors are
judged on the same measured models, an eighth held out in turn: a power of the MACs alone, a cost of each kind of
operation, and both costs and what similar models took (`nas.zoo.LatencyPredictor`).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

import nas
from nas.files import write_atomic
from nas.latency import Workload, default_runtime
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.predict.surrogate import errors
from nas.zoo import COUNTS, LatencyPredictor, open_profile, open_zoo
from nas.zoo.predictor import count_matrix, fitted_costs

RESULTS = Path(__file__).with_name("results") / "zoo.csv"
_FOLDS = 8
_MACS = [name.startswith("macs_") for name in COUNTS]

Fit = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # counts, ms, counts of others -> ms of these


def by_macs(counts: np.ndarray, ms: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Predict from a power of the MACs."""
    power = np.polyfit(np.log(counts[:, _MACS].sum(1)), np.log(ms), 1)
    return np.exp(np.polyval(power, np.log(others[:, _MACS].sum(1))))


PREDICTORS: dict[str, Fit] = {
    "MACs alone": by_macs,
    "costs of operations": lambda counts, ms, others: others @ fitted_costs(counts, ms),
    "costs and similar models": lambda counts, ms, others: LatencyPredictor(counts, ms).predict(others)[0],
}


def judged(fit: Fit, counts: np.ndarray, ms: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Return the errors of a predictor on models that it was not fitted to."""
    order, predicted = np.random.default_rng(seed).permutation(len(ms)), np.empty(len(ms))
    for start in range(_FOLDS):
        fold = order[start::_FOLDS]
        rest = np.setdiff1d(order, fold)
        predicted[fold] = fit(counts[rest], ms[rest], counts[fold])
    return errors(predicted, ms)


def main() -> None:
    """Search twice, judge the predictors and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", default="20ms")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    zoo, runtime, workload = open_zoo("timm"), default_runtime(), Workload(threads=given.threads)
    rows: list[tuple[str, str]] = [
        ("machine", str(machine_fingerprint())),
        ("runtime", f"{runtime.name} {runtime.version}, {workload}, timm {version('timm')}"),
    ]
    for _ in range(2):
        before, start = len(open_profile(zoo, runtime, workload).timed), perf_counter()
        found = nas.search_zoo("timm", given.latency, threads=given.threads)
        name = f"seconds with {before} models measured before, {found.samples} after"
        rows.append((name, f"{perf_counter() - start:.0f}"))
    if found.answer is not None:
        answer = found.answer
        rows.append((
            f"answer within {given.latency}",
            f"{answer.model.name} at {answer.model.image_size} px: {answer.quality:.2f}% in {answer.ms:.2f} ms",
        ))  # fmt: skip
    timed = open_profile(zoo, runtime, workload).timed
    counts = count_matrix([zoo.programs[name].counts for name in timed])
    ms = np.array([own.ms for own in timed.values()])
    for name, fit in PREDICTORS.items():
        error = judged(fit, counts, ms)
        words = f"{error['median_pct']:.1f}%; {error['within_10pct']:.0f}% of {len(ms)} within 10%"
        rows.append((f"median error from {name}", words))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("what", "value"), *rows])
    write_atomic(given.output, text.getvalue())
    print(text.getvalue(), found.table(), sep="\n")


if __name__ == "__main__":
    main()
