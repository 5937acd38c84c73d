"""What does compression by GAN Compression cost and bring: a teacher beside its once-for-all student's subnets?

    python -m tests.benchmarks.bench_translation --data CIFAR10 [--teacher runs/teacher] [--model deblur-cifar10]

The searched subnet is the answer of `nas search --macs`, a ninth of the teacher's MACs. All are measured side by side (ONNX
Runtime, one thread, batch 1) and judged on all test pictures, with the statistics that the model's folder ships. Without
--data the benchmark is skipped; without --teacher its row is. Results go to results/translation.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import nn

from nas.data.dataset import Data, open_data
from nas.export.bench import Network, measure_networks
from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import Model, load_model
from nas.space import Subnet

RESULTS = Path(__file__).with_name("results") / "translation.csv"
FEWER = 9


def searched(model: Model, name: str, macs: int) -> Subnet:
    """Return the answer of `nas search` for at most `macs` MACs."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "nas",
            "search",
            "--model",
            name,
            "--macs",
            str(macs),
            "--threads",
            "1",
        ]
        command += ["--run-dir", str(Path(folder, "run")), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return model.space.from_dict(json.loads(done.stdout)["answer"]["subnet"])


def psnr_db(model: Model, network: nn.Module, subnet: Subnet, data: Data) -> float:
    """Return the mean PSNR on all test pictures."""
    evaluator = model.task.evaluator(model, model.task.quality("psnr"), data, split="test")
    return evaluator(model, network, subnet)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data")
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--model", default="deblur-cifar10")
    given = parser.parse_args()
    if given.data is None:
        print("skipped: name the pictures with --data")
        return
    data, model = open_data(given.data), load_model(given.model)
    chosen: dict[str, tuple[Model, Subnet]] = {}
    bound = model.supernet.count(model.space.largest()).macs // 3
    if given.teacher is not None:
        teacher = load_model(given.teacher / "model")
        chosen["teacher"] = teacher, teacher.space.largest()
        bound = teacher.supernet.count(teacher.space.largest()).macs // FEWER
    chosen["largest"] = model, model.space.largest()
    chosen[f"searched, {bound / 1e6:.1f} M"] = model, searched(model, given.model, bound)
    chosen["smallest"] = model, model.space.smallest()
    networks = {name: (owner, subnet, owner.extract(subnet)) for name, (owner, subnet) in chosen.items()}
    programs = {
        name: Network(module, owner.family, subnet) for name, (owner, subnet, module) in networks.items()
    }
    measured = measure_networks(programs, get_runtime("onnxruntime"), Workload(1, 1))
    first = next(iter(networks))
    most = measured[first].median_ms
    rows = []
    for name, (owner, subnet, module) in networks.items():
        counts = owner.supernet.count(subnet)
        rows.append(
            {
                "network": name,
                "macs": counts.macs,
                "params": counts.params,
                "latency_ms": f"{measured[name].median_ms:.4g}",
                f"speedup_over_{first}": f"{most / measured[name].median_ms:.3g}",
                "psnr_db": f"{psnr_db(owner, module, subnet, data):.2f}",
                "machine": str(machine_fingerprint()),
            }
        )
        print(rows[-1], file=sys.stderr)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(RESULTS, text.getvalue())
    print(text.getvalue())


if __name__ == "__main__":
    main()
