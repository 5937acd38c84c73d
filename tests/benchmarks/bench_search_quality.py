"""How good is the best subnet found after 50, 200 and 1,000 evaluations: ours against what people use.

    python -m tests.benchmarks.bench_search_quality [--seeds 10] [--evaluations 1000] [--problem NAME] [--jobs 2]

Every method maximises top-1 under one hard limit and sees a subnet's quality only by evaluating it; what a subnet costs
is known to all of them. Results go to results/search_quality.csv, expectations are in README.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before NumPy is imported: the jobs share the cores

import numpy as np  # noqa: E402
import optuna  # noqa: E402

from nas.files import write_atomic  # noqa: E402
from nas.latency.measuring.fingerprint import machine_fingerprint  # noqa: E402
from nas.search import AnyfitSampler, Problem  # noqa: E402
from nas.search.engine.once_for_all import OnceForAllEvolution  # noqa: E402
from tests.benchmarks._ofa_tables import OfaTables, tables_folder  # noqa: E402

READ_AT = (50, 200, 1000)
RESULTS = Path(__file__).with_name("results") / "search_quality.csv"
MODEL = "mbv3-cifar10"


@dataclass(frozen=True)
class Task:
    """A problem with its true quality, which methods may only ask for subnet by subnet."""

    name: str
    problem: Problem
    truth: Callable[[np.ndarray], np.ndarray]

    def evaluate(self, codes: np.ndarray) -> np.ndarray:
        """Return the quality (n,), minus infinity where the limit is broken."""
        kept = self.problem.feasible(self.problem.costs(codes))
        return np.where(kept, self.truth(codes), -np.inf)


# --- problems ---------------------------------------------------------------------------------------------------------


@cache
def make_task(name: str) -> Task | None:
    """Return a problem, or None (with the reason on stderr) where this machine lacks its data."""
    return {"ofa-imagenet-27ms": _ofa, "mbv3-cifar10": _shipped}[name]()


def _ofa() -> Task | None:
    folder = tables_folder()
    if folder is None:
        print(
            "skipped: the measured tables are not here (set ANYFIT_SHARED to their folder)", file=sys.stderr
        )
        return None
    tables = OfaTables(folder)
    problem = Problem(
        tables.space, ("latency_ms",), lambda codes: tables.latency_ms(codes)[:, None], np.array([27.0])
    )
    return Task("ofa-imagenet-27ms", problem, tables.top1)


def _shipped() -> Task | None:
    """Return the shipped model: quality as its table predicts it, MACs limited to the middle of their range."""
    from nas.models import available_models, load_model
    from nas.search import load_scorer

    if MODEL not in [name for name, _, _ in available_models()]:
        print(f"skipped: there is no model {MODEL}", file=sys.stderr)
        return None
    model = load_model(MODEL)
    if model.table() is None:
        print(f"skipped: {MODEL} has no table of measured subnets", file=sys.stderr)
        return None
    count = model.supernet.counts

    def macs(codes: np.ndarray) -> np.ndarray:
        return count(codes)["macs"][:, None].astype(float)

    ends = macs(model.space.codes([model.space.smallest(), model.space.largest()]))
    limit = np.sqrt(ends[0] * ends[1])
    return Task("mbv3-cifar10", Problem(model.space, ("macs",), macs, limit), load_scorer(model).score)


# --- methods ----------------------------------------------------------------------------------------------------------


def by_random(task: Task, seed: int, count: int) -> np.ndarray:
    """Evaluate random subnets; those over the limit are drawn again and do not count."""
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        codes = task.problem.space.sample_codes(rng, 1000)
        kept.append(codes[task.problem.feasible(task.problem.costs(codes))])
    return task.evaluate(np.concatenate(kept)[:count])


def by_evolution(task: Task, seed: int, count: int) -> np.ndarray:
    """Evaluate the generations of once-for-all's evolution."""
    proposer = OnceForAllEvolution(task.problem, seed=seed)
    codes, quality = np.empty((0, len(task.problem.space.dimensions)), dtype=np.int16), np.empty(0)
    while len(codes) < count:
        born = proposer.ask(proposer.population, codes, quality)
        codes, quality = np.concatenate([codes, born]), np.concatenate([quality, task.evaluate(born)])
    return quality[:count]


def by_study(task: Task, count: int, sampler: optuna.samplers.BaseSampler) -> np.ndarray:
    """Run an Optuna study in memory; the limit is a constraint, and a subnet that breaks it counts as evaluated."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    found = []

    def objective(trial: optuna.Trial) -> float:
        codes = task.problem.space.codes([task.problem.space.suggest(trial)])
        trial.set_constraint("limit", float(task.problem.costs(codes)[0, 0] / task.problem.limits[0] - 1))
        found.append(task.evaluate(codes)[0])
        return float(task.truth(codes)[0])

    study.optimize(objective, n_trials=count)
    return np.array(found)


def by_anyfit(task: Task, seed: int, count: int) -> np.ndarray:
    """Run our sampler in an Optuna study."""
    return by_study(task, count, AnyfitSampler(task.problem, seed=seed))


METHODS: dict[str, Callable[[Task, int, int], np.ndarray]] = {
    "anyfit": by_anyfit,
    "random": by_random,
    "tpe": lambda task, seed, count: by_study(task, count, optuna.samplers.TPESampler(seed=seed)),
    "nsga2": lambda task, seed, count: by_study(task, count, optuna.samplers.NSGAIISampler(seed=seed)),
    "evolution": by_evolution,
}


# --- running ----------------------------------------------------------------------------------------------------------


def run_one(job: tuple[str, str, int, int]) -> list[dict[str, object]]:
    """Run one method from one seed and return a row for each reading point."""
    name, method, seed, count = job
    task = make_task(name)
    if task is None:
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = time.process_time()
    best = np.maximum.accumulate(METHODS[method](task, seed, count))
    seconds = time.process_time() - start
    return [
        {
            "problem": name,
            "method": method,
            "seed": seed,
            "evaluations": point,
            "best_top1": round(float(best[point - 1]), 4),
            "cpu_seconds_in_all": round(seconds, 1),
        }
        for point in READ_AT
        if point <= count
    ]


def run_all(jobs: list[tuple[str, str, int, int]], processes: int) -> Iterator[list[dict[str, object]]]:
    """Yield the rows of all jobs."""
    if processes == 1:
        yield from map(run_one, jobs)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run_one, jobs)


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "optuna", "scikit-learn"))
    return {
        "machine": str(machine_fingerprint()),
        "versions": f"python {platform.python_version()}, {packages}",
    }


def summary(rows: list[dict[str, object]]) -> str:
    """Return a table of mean (lowest) best top-1 for each problem, method and reading point."""
    lines = []
    for name in dict.fromkeys(row["problem"] for row in rows):
        lines.append(f"\n{name:22}" + "".join(f"{point:>20,}" for point in READ_AT) + f"{'CPU s/seed':>14}")
        for method in METHODS:
            cells, seconds = [], 0.0
            for point in READ_AT:
                own = [
                    r for r in rows if (r["problem"], r["method"], r["evaluations"]) == (name, method, point)
                ]
                values = [float(str(r["best_top1"])) for r in own]
                cells.append(f"{np.mean(values):10.3f} ({min(values):.3f})" if values else "")
                seconds = np.mean([float(str(r["cpu_seconds_in_all"])) for r in own]) if own else seconds
            if any(cells):
                lines.append(f"{method:22}" + "".join(f"{cell:>20}" for cell in cells) + f"{seconds:14.1f}")
    return "\n".join(lines)


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows as CSV; rows that are there of other problems and methods stay."""
    new = {(row["problem"], row["method"]) for row in rows}
    kept: list[dict[str, object]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            known: list[dict[str, object]] = [{**row} for row in csv.DictReader(file)]
        kept = [row for row in known if (row["problem"], row["method"]) not in new]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept + rows)
    write_atomic(path, text.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--problem", action="append", choices=["ofa-imagenet-27ms", "mbv3-cifar10"])
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    names = given.problem or ["ofa-imagenet-27ms", "mbv3-cifar10"]
    jobs = [
        (name, method, seed, given.evaluations)
        for name in names
        for method in given.method or METHODS
        for seed in range(given.seeds)
    ]
    rows: list[dict[str, object]] = []
    for done, own in enumerate(run_all(jobs, given.jobs), start=1):
        rows += [{**row, **machine()} for row in own]
        print(f"{done}/{len(jobs)} {jobs[done - 1][:3]}", file=sys.stderr)
    if not rows:
        sys.exit("nothing could be run")
    write(given.output, rows)
    print(summary(rows))
    print(f"\nbest top-1 in percent: mean of {given.seeds} seeds (lowest); written to {given.output.name}")


if __name__ == "__main__":
    main()
