"""The full generator's images beside its subnets', with the time each takes: the picture of the README.

    python -m tests.benchmarks.bench_generator_preview [--model anycost-digits] [--budgets 0.3 0.6 1.0]

The subnets are uniform widths and the answers of `nas search` at three budgets (ms). All are measured side by side (ONNX
Runtime, batch 1). Results go to results/generator_preview.csv and .png.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
from pathlib import Path

from gan_compress.stylegan2.generate import generator_family, latents, load_generator, ratio_subnet, to_pixels
from nas.files import replacing, write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.models import Model, load_model
from nas.pictures import grid
from nas.space import Subnet
from tests.benchmarks.bench_generator_search import distances, latencies
from tests.benchmarks.bench_promise import search

RESULTS = Path(__file__).with_name("results")
COLUMNS = 20


def answers(model: Model, name: str, budgets: list[float], threads: int) -> dict[str, Subnet]:
    """Return the answers of a search at each budget that could be kept."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for budget in budgets:
            answer = search(name, budget, 0, threads, Path(folder, f"{budget:g}"))[0]["answer"]
            if answer is not None:
                found[f"searched, {budget:g} ms"] = model.space.from_dict(answer["subnet"])
    return found


def draw(model: Model, rows: list[dict[str, str]], subnets: dict[str, Subnet], path: Path) -> None:
    """Write a picture: a row of images for each subnet, its figures beside it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    size = generator_family(model).resolution
    inputs = latents(model, range(COLUMNS))
    figure, axes = pyplot.subplots(len(rows), 1, figsize=(10, 0.62 * len(rows)), layout="constrained")
    for row, axis in zip(rows, axes, strict=True):
        made = to_pixels(model, load_generator(model, subnets[row["subnet"]])(inputs), size)
        axis.imshow(grid(made, COLUMNS, gap=1, zoom=2), interpolation="nearest")
        axis.set_axis_off()
        figures = f"{row['latency_ms']} ms · {int(row['macs']) / 1e6:.1f} M MACs"
        axis.text(-12, 32, f"{row['subnet']}\n{figures}", ha="right", va="center", fontsize=8)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="anycost-digits")
    parser.add_argument("--budgets", type=float, nargs="*", default=[0.25, 0.5, 1.0])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    model = load_model(given.model)
    size = generator_family(model).resolution
    widths = {"full": f"1@{size}", **{f"width {ratio:g}": f"{ratio:g}@{size}" for ratio in (0.75, 0.5, 0.25)}}
    widths[f"width 0.25, {size // 2} px"] = f"0.25@{size // 2}"
    subnets = {name: ratio_subnet(model, text) for name, text in widths.items()}
    subnets |= answers(model, given.model, given.budgets, given.threads)
    measured, far = latencies(model, subnets, given.threads), distances(model, subnets)
    order = sorted(subnets, key=lambda name: -measured[name])
    rows = [
        {
            "subnet": name,
            "latency_ms": f"{measured[name]:.3g}",
            "macs": str(model.supernet.count(subnets[name]).macs),
            "distance": f"{far[name]:.4f}",
            "threads": str(given.threads),
            "machine": str(machine_fingerprint()),
        }
        for name in order
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(RESULTS / "generator_preview.csv", text.getvalue())
    draw(model, rows, subnets, RESULTS / "generator_preview.png")
    print(text.getvalue())


if __name__ == "__main__":
    main()
