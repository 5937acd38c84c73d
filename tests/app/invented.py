"""A run that no search has made: what one leaves on disk, quickly and of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def write_run(folder: Path, count: int = 300, state: str = "finished", **more: Any) -> Path:
    """Write a run of invented candidates: what a search leaves, without one."""
    rng = np.random.default_rng(0)
    dimensions = [
        {"name": "resolution", "choices": [16, 24, 32], "active_if": None},
        {"name": "stage1.depth", "choices": [1, 2], "active_if": None},
        {"name": "stage1.block1.kernel", "choices": [3, 5], "active_if": None},
        {"name": "stage1.block2.kernel", "choices": [3, 5], "active_if": ["stage1.depth", [2]]},
    ]
    quality = {"name": "top1", "label": "top-1", "unit": "%", "higher_is_better": True}
    head = [
        "trial",
        "role",
        "feasible",
        "top1",
        "quality_source",
        "predicted_latency_ms",
        "macs",
        "params",
        "size_bytes",
    ]
    head += ["measured_latency_ms", "measured_p90_ms", *(d["name"] for d in dimensions)]
    lines = [",".join(head)]
    for trial in range(count):
        resolution, depth = int(rng.choice([16, 24, 32])), int(rng.integers(1, 3))
        kernels = [int(rng.choice([3, 5])), int(rng.choice([3, 5])) if depth == 2 else ""]
        ms = resolution * depth * (1 + 0.1 * (kernels[0] == 5)) / 40 * (1 + 0.01 * rng.standard_normal())
        top1 = 60 + 8 * depth + resolution / 2 + 0.2 * (kernels[0] == 5) + 0.3 * rng.standard_normal()
        role, measured = ("finalist", f"{ms * 1.02:.4f}") if trial % 50 == 0 else ("candidate", "")
        row = [
            trial,
            role,
            int(ms <= 1.0),
            f"{top1:.3f}",
            "predicted",
            f"{ms:.4f}",
            int(ms * 1e6),
            int(ms * 1e5),
            int(ms * 4e5),
        ]
        lines.append(",".join(map(str, [*row, measured, measured, resolution, depth, *kernels])))
    folder.mkdir(parents=True)
    (folder / "pareto.csv").write_text("\n".join(lines) + "\n")
    info = {
        "format": "anyfit-run", "version": 1, "state": state, "budget": {"latency_ms": 1.0}, "model": "mbv3-cifar10",
        "maximised": quality, "space": {"name": "fake", "version": 1, "digest": "0", "dimensions": dimensions},
        "changed": "2026-01-01T00:00:00+00:00", "process": None, **more,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info))
    return folder
