"""Directions in style space that give images more of a label, found from labelled images by linear models.

A logistic regression on the features of the real images scores the generated ones, and a least-squares model follows
the score of a label from the style (in the manner of InterFaceGAN, Shen et al. 2020). The direction is how styles lie
whose predicted score is higher: the model's slopes times the covariance of the styles. The slopes themselves lead away
from where styles lie: on a small generator of digits, the same amount along them moved the score a third as far.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.stylegan2.generate import generator_family, latents, load_generator, unit
from gan_compress.stylegan2.tensors import read_tensors, weights_digest, write_tensors
from nas.errors import UsageError
from nas.metrics.features import DEFAULT, feature_space
from nas.models import Model

FILE = "directions.safetensors"
MAKE = "nas gan directions --data NAME|PATH"
SAMPLES = 2000
_HELD_OUT = 0.2
_RIDGE = 1e-2
_BATCH = 50


@dataclass(frozen=True)
class Directions:
    """One unit vector a label in style space.

    Attributes:
        labels: the names.
        vectors: (labels, style), each of length one.
        scales: (labels,), the length of the step that raises the predicted score by one standard deviation of it.
        fits: (labels,), R² of the linear model on images that it was not fitted to: near 0, the direction is noise.
        info: where they come from.
    """

    labels: tuple[str, ...]
    vectors: Tensor
    scales: Tensor
    fits: Tensor
    info: Mapping[str, Any]

    def apply(self, styles: Tensor, label: str, amount: float) -> Tensor:
        """Return `styles`, (batch, style) or (batch, layers, style), moved by `amount` standard deviations."""
        index = self.index(label)
        return styles + amount * self.scales[index] * self.vectors[index]

    def index(self, label: str) -> int:
        """Return the row of a label; an unknown one raises `UsageError` with the nearest."""
        if label in self.labels:
            return self.labels.index(label)
        close = difflib.get_close_matches(label, self.labels, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"the directions are {', '.join(self.labels)}"
        raise UsageError(f"there is no direction {label!r}; {hint}")

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, as a whole or not at all."""
        tensors = {"vectors": self.vectors, "scales": self.scales, "fits": self.fits}
        write_tensors(path, "directions", tensors, {**self.info, "labels": list(self.labels)})

    @classmethod
    def load(cls, model: Model, path: str | Path | None = None) -> Directions:
        """Read the directions in a model's folder, or at `path`; raises `UsageError` where there are none."""
        if path is None and not (model.path / FILE).is_file():
            raise UsageError(f"{model.name} has no {FILE}; find its directions with `{MAKE}`")
        path = path or model.path / FILE
        tensors, info = read_tensors(path, "directions", model, MAKE)
        labels: tuple[str, ...] = tuple(info.pop("labels", ()))
        size = generator_family(model).style
        wanted = {"vectors": (len(labels), size), "scales": (len(labels),), "fits": (len(labels),)}
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != wanted:
            raise UsageError(f"{path} holds no directions of {model.name}; make them with `{MAKE}`")
        return cls(labels, **tensors, info=info)


def label_scores(
    real_nd: Tensor, labels_n: Tensor, names: Sequence[str], seed: int = 0
) -> Callable[[Tensor], Tensor]:
    """Return what gives the scores (m, labels) of features (m, d): the logits of a regression fitted to real ones.

    Raises `UsageError` unless there are two labels or more with images.
    """
    present = sorted(set(labels_n.tolist()))
    if len(present) < 2:
        told = f"the only label is {names[present[0]]}" if names and present else "there are no labels"
        raise UsageError(
            f"directions need images of two labels or more, but {told}; give data with a folder a label"
        )
    from sklearn.linear_model import LogisticRegression

    mean, spread = real_nd.mean(0), real_nd.std(0).clamp_min(1e-6)
    model = LogisticRegression(C=0.1, max_iter=500, random_state=seed)
    model.fit(((real_nd - mean) / spread).double().numpy(), labels_n.numpy())
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(present) == 2:
        weight, bias = torch.cat([-weight, weight]), torch.cat([-bias, bias])

    def score(features_md: Tensor) -> Tensor:
        scaled = ((features_md - mean) / spread).double()
        scores = torch.zeros(len(scaled), len(names), dtype=torch.float64)
        scores[:, present] = scaled @ weight.T + bias
        return scores

    return score


def fit_directions(styles_ns: Tensor, scores_nk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return unit vectors (k, style), their scales (k,) and fits (k,) of scores by least squares; see `Directions`.

    A little ridge keeps what hardly varies from getting large slopes. The fit is that on the last fifth, held out.
    """
    x, y = styles_ns.double(), scores_nk.double()
    kept = round(len(x) * (1 - _HELD_OUT))
    mean, centre = x[:kept].mean(0), y[:kept].mean(0)
    inner, outer = x[:kept] - mean, y[:kept] - centre
    covariance = inner.T @ inner / kept
    ridge = _RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    slopes = torch.linalg.solve(covariance + ridge, inner.T @ outer / kept)
    rest, truth = x[kept:] - mean, y[kept:]
    missed = (truth - centre - rest @ slopes).square().sum(0)
    spread = (truth - truth.mean(0)).square().sum(0).clamp_min(1e-12)
    towards = covariance @ slopes
    steps = (towards / (slopes * towards).sum(0).clamp_min(1e-24).sqrt()).T
    scales = steps.norm(dim=1)
    return F.normalize(steps, dim=1).float(), scales.float(), (1 - missed / spread).float()


@torch.no_grad()
def find_directions(
    model: Model,
    images: Tensor,
    labels: Tensor,
    names: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    data: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Directions:
    """Return a direction for every label of real images, uint8 (n, 3, height, width), with labels (n,).

    `samples` images of the full generator, its classes in turn, tell how the scores follow from the style. Raises
    `UsageError` unless there are two labels or more.
    """
    network, space = load_generator(model, model.space.largest()), feature_space()
    real = [space.vectors(part.float() / 127.5 - 1) for part in images.split(_BATCH)]
    score = label_scores(torch.cat(real), labels, names, seed)
    inputs = latents(model, range(seed * samples, (seed + 1) * samples))
    styles, scores = [], []
    for part in inputs.split(_BATCH):
        styles.append(network.map(part))
        scores.append(score(space.vectors(2 * unit(model, network.synthesize(styles[-1])) - 1)))
        if progress is not None:
            progress(len(styles) * _BATCH, samples)
    vectors, scales, fits = fit_directions(torch.cat(styles), torch.cat(scores))
    kept: list[int] = sorted(set(labels.tolist()))
    info = {
        "model": model.name,
        "weights": weights_digest(model),
        "data": data,
        "images": len(images),
        "features": DEFAULT,
        "samples": samples,
        "seed": seed,
    }
    return Directions(tuple(names[label] for label in kept), vectors[kept], scales[kept], fits[kept], info)
