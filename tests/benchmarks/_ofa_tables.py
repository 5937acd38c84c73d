"""ImageNet accuracy and GPU latency of once-for-all MobileNetV3 subnets, as smooth functions fitted to measured tables.

Accuracy: 2,223 measured subnets at 224 px (DyNAS-T); latency: 5,000 measured architectures (HELP), read at 224 px. Each
is a ridge over one-hot choices plus small neural networks on what the ridge leaves: additive in the main, but
not quite, and of another class than any model a searcher here uses inside.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.space import Dimension, SearchSpace

STAGES, BLOCKS = 5, 4
LATENCY_COLUMN = "latency_ms.v100_64"


def tables_folder() -> Path | None:
    """Return the folder of the measured tables, or None where this machine has none."""
    shared = Path(os.environ.get("ANYFIT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    folder = shared / "data" / "nas-tables"
    return folder if (folder / "ofa_mbv3_w10_imagenet_top1.parquet").exists() else None


def make_space() -> SearchSpace:
    """Return the once-for-all space at one resolution: 5 depths, 20 kernels, 20 expansions."""
    dimensions = [Dimension(f"stage{stage}.depth", (2, 3, 4)) for stage in range(1, STAGES + 1)]
    for stage in range(1, STAGES + 1):
        for block in range(1, BLOCKS + 1):
            depths = tuple(range(block, BLOCKS + 1))
            active_if = (f"stage{stage}.depth", depths) if block > 2 else None
            dimensions.append(Dimension(f"stage{stage}.block{block}.kernel", (3, 5, 7), active_if))
            dimensions.append(Dimension(f"stage{stage}.block{block}.expand", (3, 4, 6), active_if))
    return SearchSpace("ofa-mbv3-224", dimensions)


def _read(space: SearchSpace, path: Path) -> tuple[Any, np.ndarray]:
    """Return the table's columns and the codes of its architectures."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    kernels, expands, depths = (np.array(table[name].to_pylist()) for name in ("ks", "e", "d"))
    codes = np.empty((len(depths), len(space.dimensions)), dtype=np.int16)
    codes[:, :STAGES] = depths - 2
    codes[:, STAGES::2] = (kernels - 3) // 2
    codes[:, STAGES + 1 :: 2] = np.searchsorted([3, 4, 6], expands)
    return table, space.canonical_codes(codes)


@dataclass(frozen=True)
class Fit:
    """ridge(x) + mean of networks(x), in plain NumPy so that single rows are cheap."""

    weights: np.ndarray
    intercept: float
    networks: tuple[Any, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        total = x @ self.weights + self.intercept
        for network in self.networks:
            hidden = x
            for place, (matrix, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
                hidden = hidden @ matrix + bias
                if place < len(network.coefs_) - 1:
                    hidden = np.maximum(hidden, 0.0)
            total = total + hidden[:, 0] / len(self.networks)
        return total


def fit(x: np.ndarray, y: np.ndarray, networks: int) -> Fit:
    """Fit ridge, then `networks` two-layer networks to its residual."""
    from sklearn.linear_model import Ridge
    from sklearn.neural_network import MLPRegressor

    ridge = Ridge(1.0).fit(x, y)
    rest = y - ridge.predict(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = [
            MLPRegressor(hidden_layer_sizes=(64, 64), alpha=1e-2, max_iter=200, random_state=seed).fit(
                x, rest
            )
            for seed in range(networks)
        ]
    return Fit(np.asarray(ridge.coef_), float(ridge.intercept_), tuple(made))


class OfaTables:
    """`top1(codes)` in percent and `latency_ms(codes)`, both (n,)."""

    def __init__(self, folder: Path) -> None:
        self.space = make_space()
        table, codes = _read(self.space, folder / "ofa_mbv3_w10_imagenet_top1.parquet")
        self._top1 = fit(self.space.encode(codes), table["top1"].to_numpy(), networks=3)
        table, codes = _read(self.space, folder / "ofa_mbv3_gpu_latency.parquet")
        scale = (table["resolution"].to_numpy() / 224.0)[:, None] ** 2
        x = self.space.encode(codes)
        self._latency = fit(np.hstack([x, x * scale, scale]), table[LATENCY_COLUMN].to_numpy(), networks=1)

    def top1(self, codes: np.ndarray) -> np.ndarray:
        """Return ImageNet top-1 in percent."""
        return self._top1(self.space.encode(codes))

    def latency_ms(self, codes: np.ndarray) -> np.ndarray:
        """Return the latency at 224 px in milliseconds."""
        x = self.space.encode(codes)
        return self._latency(np.hstack([x, x, np.ones((len(x), 1))]))
