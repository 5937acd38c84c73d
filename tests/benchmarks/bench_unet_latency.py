"""How well is the latency of a UNet of Stable Diffusion 1.5's size predicted, and how fast are BK-SDM's subnets?

    python -m tests.benchmarks.bench_unet_latency --runtime cuda --precision fp16 --batch 8 [--samples 34]

Weights are first values: they decide no latency. Subnets are chosen and predicted as a device profile does it; each is
predicted by what was fitted to the other four fifths (five folds), so it has not been seen. An error is
|predicted - measured| / measured. The named subnets of BK-SDM are measured as subnets beside the stock networks of
their published configurations. Results are added to results/unet_latency.csv and results/unet_speedups.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion.denoisers.native_config import native_config
from diffusion.denoisers.unet import DiffusionUNet, diffusion_unet
from nas.elastic import Supernet
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import Measurement, TurnPlan, lower_subnet, measure
from nas.latency.profiles.profile import latency_features
from nas.latency.profiles.profiling import choose_samples
from nas.latency.runtimes import Runtime, get_runtime
from nas.latency.workload import Workload
from nas.models import Model
from nas.predict.surrogate import Surrogate

FOLDS = 5
RESULTS = Path(__file__).with_name("results")
PLAN = TurnPlan(target=0.02, min_bursts=5, max_bursts=10, burst_ms=4.0)
STABLE_DIFFUSION_1_5: Mapping[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}


def unweighted_model(config: Mapping[str, Any], **options: Any) -> Model:
    """Return a model of a UNet on the meta device."""
    family = diffusion_unet(config, **options)
    with torch.device("meta"):
        supernet = Supernet(family)
    facts = {
        "name": "unet",
        "family": family.name,
        "options": dict(family.options),
        "space_digest": family.space.digest,
        "classes": [],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "info": {},
    }
    return Model(Path(), facts, supernet)


def stock(model: Model, name: str) -> Model | None:
    """Return the stock network of a named subnet as a model of its own, or None where no stock configuration says it."""
    family = model.family
    assert isinstance(family, DiffusionUNet)
    config = native_config(family, family.named()[name])
    return None if config is None else unweighted_model(config, resnet=(1,), self_attention=(1,), cross_attention=(1,), feed_forward=(1,), depth=(1,), removable=False)  # fmt: skip


def predicted(model: Model, codes: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return for each measured subnet what a predictor says that was fitted to the other folds."""
    features = latency_features(model)
    fold, guesses = np.arange(len(codes)) % FOLDS, np.empty(len(codes))
    for own in (fold == number for number in range(FOLDS)):
        fitted = Surrogate.fit(model.space, codes[~own], ms[~own], base=features(codes[~own]))
        guesses[own] = fitted.predict(codes[own], base=features(codes[own]))
    return guesses


def measured(
    model: Model, runtime: Runtime, workload: Workload, samples: int
) -> tuple[np.ndarray, list[Measurement], dict[str, Measurement]]:
    """Measure subnets spread over the space, and every named subnet beside its stock network."""
    codes = choose_samples(model, samples, 0)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        programs: dict[str, Path] = {}
        for name, subnet in named(model).items():
            programs[name] = lower_subnet(model, subnet, runtime, Path(scratch, name))
            if (plain := stock(model, name)) is not None:
                path = Path(scratch, f"{name}-stock")
                programs[f"{name} stock"] = lower_subnet(plain, plain.space.largest(), runtime, path)
        for index, row in enumerate(codes):
            path = Path(scratch, str(index))
            programs[str(index)] = lower_subnet(model, model.space.from_codes(row), runtime, path)
        found = measure(programs, runtime, workload, plan=PLAN, progress=_told)
    return codes, [found.pop(str(index)) for index in range(len(codes))], found


def named(model: Model) -> dict[str, Any]:
    """Return the named subnets of a model's family."""
    family = model.family
    assert isinstance(family, DiffusionUNet)
    return family.named()


def _told(done: int, count: int) -> None:
    if done % 10 == 0 or done == count:
        print(f"{done} of {count} measured", flush=True)


def add_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a CSV file, which is written whole."""
    known = list(csv.DictReader(path.open(encoding="utf-8"))) if path.is_file() else []
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows([*known, *rows])
    write_atomic(path, text.getvalue())


def main() -> None:
    """Measure, predict, print and write the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--runtime", default="cuda")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=64, help="of the latents")
    parser.add_argument("--samples", type=int, default=34)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    runtime = get_runtime(chosen.runtime)
    workload = Workload(batch_size=chosen.batch, threads=chosen.threads, precision=chosen.precision)
    if reason := runtime.unavailable():
        print(f"skipped: {reason}")
        return
    model = unweighted_model({**STABLE_DIFFUSION_1_5, "sample_size": chosen.size})
    codes, times, others = measured(model, runtime, workload, chosen.samples)
    where = {
        "runtime": f"{runtime.name} {runtime.version}",
        "precision": chosen.precision,
        "batch": chosen.batch,
        "latents": chosen.size,
        "machine": str(machine_fingerprint(runtime.device)),
        "torch": torch.__version__,
    }
    ms = np.array([time.median_ms for time in times])
    guesses, macs = predicted(model, codes, ms), model.supernet.counts(codes)["macs"]
    rows = [
        {"macs": int(cost), "measured_ms": round(own, 4), "predicted_ms": round(guess, 4), **where}
        for cost, own, guess in zip(macs, ms.tolist(), guesses.tolist(), strict=True)
    ]
    error = np.abs(guesses / ms - 1)
    print(f"median error {np.median(error):.1%}, worst {error.max():.1%}, of {len(error)} unseen subnets")
    add_rows(chosen.results / "unet_latency.csv", rows)
    full = others["largest"].median_ms
    table = []
    for name, subnet in named(model).items():
        plain = others.get(f"{name} stock")
        counts = model.supernet.count(subnet)
        table.append(
            {"subnet": name, "macs": counts.macs, "params": counts.params, "ms": round(others[name].median_ms, 4),
             "speed_up": round(full / others[name].median_ms, 3),
             "stock_ms": round(plain.median_ms, 4) if plain else "",
             "stock_speed_up": round(others["largest stock"].median_ms / plain.median_ms, 3) if plain else "", **where}
        )  # fmt: skip
        print(" ".join(f"{key}={value}" for key, value in [*table[-1].items()][:7]))
    add_rows(chosen.results / "unet_speedups.csv", table)


if __name__ == "__main__":
    main()
