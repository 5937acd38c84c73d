"""Does a search beat the published uniform widths: at equal measured latency, a lower distance to the full generator?

    python -m tests.benchmarks.bench_generator_search [--model anycost-digits]

For each uniform subnet, its measured latency is the budget of a fresh `nas search`, and the margin that a search keeps below
its budget on top, so that answer and uniform subnet have equal latencies at most. Then both are measured side by side,
interleaved, and their distance is taken on the same latents. Results go to results/generator_search.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
from pathlib import Path

from gan_compress.stylegan2.generate import ratio_subnet
from nas.export.bench import Network, measure_networks
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import Model, load_model
from nas.search.trials.finalists import MARGIN
from nas.space import Subnet
from tests.benchmarks.bench_promise import search

RESULTS = Path(__file__).with_name("results") / "generator_search.csv"
UNIFORM = ("0.75@32", "0.5@32", "0.25@32", "1@16", "0.75@16", "0.5@16", "0.25@16", "1@8")


def latencies(model: Model, subnets: dict[str, Subnet], threads: int) -> dict[str, float]:
    """Return the median latency (ms) of subnets, measured side by side."""
    networks = {
        name: Network(model.extract(subnet), model.family, subnet) for name, subnet in subnets.items()
    }
    found = measure_networks(networks, get_runtime("onnxruntime"), Workload(1, threads))
    return {name: latency.median_ms for name, latency in found.items()}


def distances(model: Model, subnets: dict[str, Subnet]) -> dict[str, float]:
    """Return the mean feature distance of subnets to the full generator."""
    evaluator = model.task.evaluator(model, model.task.quality("distance"))
    return {name: evaluator(model, model.extract(subnet), subnet) for name, subnet in subnets.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="anycost-digits")
    parser.add_argument("--uniform", nargs="+", default=UNIFORM)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    model = load_model(given.model)
    uniform = {text: ratio_subnet(model, text) for text in given.uniform}
    budgets = latencies(model, uniform, given.threads)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, subnet in uniform.items():
            budget = budgets[name] * (1 + MARGIN)
            found, _ = search(given.model, budget, 0, given.threads, Path(folder, name))
            if found["answer"] is None:
                rows.append({"uniform": name, "budget_ms": f"{budget:.4f}", "won": False})
                continue
            answer = model.space.from_dict(found["answer"]["subnet"])
            pair = {"uniform": subnet, "answer": answer}
            now, far = latencies(model, pair, given.threads), distances(model, pair)
            rows.append(
                {
                    "uniform": name,
                    "budget_ms": f"{budget:.4f}",
                    **{f"{kind}_ms": f"{now[kind]:.4f}" for kind in pair},
                    **{f"{kind}_macs": model.supernet.count(pair[kind]).macs for kind in pair},
                    **{f"{kind}_distance": f"{far[kind]:.5f}" for kind in pair},
                    # Two networks measured in turns on this machine still differ by a few percent from time to time.
                    "won": far["answer"] < far["uniform"] and now["answer"] <= 1.03 * now["uniform"],
                    "machine": str(machine_fingerprint()),
                }
            )
            print(rows[-1], file=sys.stderr)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(max(rows, key=len)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(given.output, text.getvalue())
    print(f"search beats the uniform width: {sum(bool(row['won']) for row in rows)} of {len(rows)} budgets")


if __name__ == "__main__":
    main()
