"""Does searching everything together beat each lever alone? The shipped pipeline at four budgets.

    python -m tests.benchmarks.bench_diffusion_search [--shares 0.08 0.16 0.33 0.5] [--images 500] [--trials 150] [--measured]

Every lever is a search of its own, by the same command, in a space where nothing else is offered: sizes of the UNet,
bits of its weights, steps, reuse of deep features, share of guided steps; each of its trials is measured. The joint search
predicts from the pipeline's table, or with --measured measures each of its trials too. Budgets are shares of the original's time an
image (25 steps, all guided), measured with everything else under ONNX Runtime, one thread. Quality is the PSNR to the
original's pictures of the same prompts and seeds, measured for every answer; answers of the joint search are judged by
prompt match too. Results go to results/diffusion_search.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from diffusion.evaluation.task import MatchEvaluator
from diffusion.pipeline.files.folder import find_pipeline
from nas.files import read_json, write_atomic, write_json
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import measure_subnets
from nas.latency.workload import Workload
from nas.models import Model, load_model

RESULTS = Path(__file__).with_name("results") / "diffusion_search.csv"
NO_SHAPE = {
    **{name: [1] for name in ("resnet", "self_attention", "cross_attention", "feed_forward", "depth")},
    "removable": False,
}
NO_BITS = {"bits": [32]}
NO_SAMPLING = {"steps": [25], "guided": [1.0], "reuse": [1]}


def spaces() -> dict[str, tuple[Mapping[str, Any], tuple[str, ...]]]:
    """Return for each lever the options of the UNet, and which ways of sampling are left open."""
    return {
        "joint": ({}, ("steps", "guided", "reuse")),
        "shape": (NO_BITS, ()),
        "bits": (NO_SHAPE, ()),
        "steps": ({**NO_SHAPE, **NO_BITS}, ("steps",)),
        "cache": ({**NO_SHAPE, **NO_BITS}, ("reuse",)),
        "guidance": ({**NO_SHAPE, **NO_BITS}, ("guided",)),
    }


def restricted(name: str, folder: Path, lever: str, keep_table: bool) -> Path:
    """Write a copy of a pipeline that offers one lever alone and return it; the table is of the whole space."""
    unet, kept = spaces()[lever]
    path = folder / f"{name}-{lever}"
    unwanted = None if lever == "joint" and keep_table else shutil.ignore_patterns("subnets.csv")
    shutil.copytree(find_pipeline(name), path, ignore=unwanted)
    notes = read_json(path / "anyfit.json")
    space = dict(notes.get("space") or {})
    notes["name"] = path.name
    notes["space"] = {
        **space,
        "unet": {**dict(space.get("unet") or {}), **unet},
        **{key: value for key, value in NO_SAMPLING.items() if key not in kept},
    }
    write_json(path / "anyfit.json", notes)
    return path


def searched(path: Path, budget_ms: float, trials: int | None, run: Path) -> dict[str, Any] | None:
    """Return the answer of `nas search`, or None where nothing keeps the budget; by default as many trials as it takes."""
    command = [sys.executable, "-m", "nas", "search", "--model", f"diffusion:{path}", "--threads", "1"]
    command += ["--latency", f"{budget_ms:.4f}ms", "--run-dir", str(run), "--json"]
    command += [] if trials is None else ["--trials", str(trials)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode == 3:
        return None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)["answer"]


def original_ms(model: Model) -> float:
    """Return the measured time of the original, in ms an image."""
    (measured,) = measure_subnets(model, [model.space.largest()], "onnxruntime", Workload(threads=1))
    return measured.median_ms


def matched(model: Model, subnet: Any, images: int) -> float:
    """Return the prompt match of a subnet in percent."""
    return MatchEvaluator(images)(model, model.extract(subnet), subnet)


def figures(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return what was measured of an answer."""
    return {"ms": answer["latency_ms"]["measured"], "psnr_db": answer["quality"]["measured"]}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> None:
    """Search, compare, print and write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--model", default="tiny-sd-cifar10")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.08, 0.16, 0.33, 0.5])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--trials", type=int, default=150, help="of searches that measure each trial")
    parser.add_argument("--measured", action="store_true", help="the joint search measures each trial too")
    parser.add_argument("--levers", nargs="+", default=[*spaces()])
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    model = load_model(chosen.model)
    full_ms, largest = original_ms(model), model.space.largest()
    full_match = matched(model, largest, chosen.images)
    print(f"original: {full_ms:.1f} ms an image, prompt match {full_match:.1f}%", flush=True)
    where = {
        "images": chosen.images,
        "machine": str(machine_fingerprint("cpu")),
        "onnxruntime": onnxruntime.__version__,
    }
    rows = [
        {"lever": "original", "budget_ms": "", "ms": round(full_ms, 3), "times_as_fast": 1.0, "psnr_db": "",
         "match": full_match, "seconds": "", "subnet": "", **where}
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        for lever in chosen.levers:
            is_predicted = lever == "joint" and not chosen.measured
            path = restricted(chosen.model, Path(scratch), lever, is_predicted)
            for share in chosen.shares:
                run = Path(scratch, f"run-{lever}-{share}")
                began = time.monotonic()
                answer = searched(path, share * full_ms, None if is_predicted else chosen.trials, run)
                seconds = round(time.monotonic() - began, 1)
                row = {"lever": lever, "budget_ms": round(share * full_ms, 3), "ms": "", "times_as_fast": "",
                       "psnr_db": "", "match": "", "seconds": seconds, "subnet": "", **where}  # fmt: skip
                if answer is not None:
                    found = figures(answer)
                    row |= {name: round(value, 3) for name, value in found.items()}
                    row["times_as_fast"] = round(full_ms / found["ms"], 2)
                    row["subnet"] = json.dumps(answer["subnet"]["choices"])
                    if lever == "joint":
                        subnet = model.space.from_dict(answer["subnet"])
                        row["match"] = matched(model, subnet, chosen.images)
                rows.append(row)
                print(
                    {
                        key: row[key]
                        for key in (
                            "lever",
                            "budget_ms",
                            "ms",
                            "times_as_fast",
                            "psnr_db",
                            "match",
                            "seconds",
                        )
                    },
                    flush=True,
                )
    write_atomic(chosen.results, table(rows))


if __name__ == "__main__":
    main()
