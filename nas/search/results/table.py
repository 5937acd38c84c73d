"""pareto.csv: every evaluated subnet with its figures and the part it plays."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nas.files import write_atomic
from nas.models import Quality
from nas.search.engine.pareto import front
from nas.search.trials.budget import COSTS
from nas.search.trials.finalists import Finalist
from nas.search.trials.study import Evaluations
from nas.space import SearchSpace


def write_table(
    path: Path,
    space: SearchSpace,
    quality: Quality,
    found: Evaluations,
    finalists: Mapping[int, Finalist],
    answer: int | None,
    limits: np.ndarray,
    is_measured: bool,
) -> None:
    """Write one row an evaluation: trial, role, feasible by prediction, quality, costs, measured latency, choices.

    The role is "answer", "finalist", "front" or "candidate"; the measured columns are empty where nothing was measured.
    The quality is as known best, and `quality_source` says whether it was measured; `is_measured`: all of them were.
    """
    on_front = set(front(np.column_stack([found.costs[:, 0], -found.score])).tolist())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["trial", "role", "feasible", quality.name, "quality_source", "predicted_latency_ms", *COSTS[1:]]
    writer.writerow([*head, "measured_latency_ms", "measured_p90_ms", *space.names])
    for index in range(len(found)):
        finalist = finalists.get(index)
        role = "front" if index in on_front else "candidate"
        role = "answer" if index == answer else "finalist" if finalist else role
        measured = ["", ""]
        if finalist is not None:
            measured = [f"{finalist.measured_ms:.4f}", f"{finalist.p90_ms:.4f}"]
        cost = found.costs[index]
        choices = [
            "" if code < 0 else dimension.choices[code]
            for dimension, code in zip(space.dimensions, found.codes[index].tolist(), strict=True)
        ]
        fits = int((cost <= limits).all())
        counts = [int(value) for value in cost[1:]]
        value = found.score[index] if finalist is None else finalist.value
        is_sure = is_measured or (finalist is not None and finalist.checked is not None)
        row = [
            int(found.number[index]),
            role,
            fits,
            f"{quality.sign * value:.6g}",
            "measured" if is_sure else "predicted",
            f"{cost[0]:.4f}",
            *counts,
        ]
        writer.writerow([*row, *measured, *choices])
    write_atomic(path, text.getvalue())
