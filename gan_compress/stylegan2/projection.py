"""Find the style whose image is a given picture, for the full generator and small ones together.

Adam with fading noise, as in StyleGAN2 (Karras et al. 2020, appendix D), then L-BFGS; the loss is the feature distance
(`nas.metrics.features`) plus the pixel error, averaged over the generators, so that what is done to the style later
shows in each of them. All randomness comes from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.stylegan2.generate import (
    class_shares,
    generator_family,
    latents,
    load_generator,
    mean_style,
    unit,
)
from gan_compress.stylegan2.networks import Generator
from gan_compress.stylegan2.task import full_size
from gan_compress.stylegan2.tensors import read_tensors, weights_digest, write_tensors
from nas.errors import NasError, UsageError
from nas.metrics.features import DEFAULT, FeatureSpace, feature_space
from nas.models import Model
from nas.space import Subnet

MAKE = "nas gan project IMAGE"
_STARTS, _START_TRUNCATION = 32, 0.7
_SPREAD_STYLES = 500
_NOISE, _NOISE_UNTIL, _WARM_UP = 0.05, 0.75, 0.05
_PRIOR = 1e-3
_SMALL_PIXELS = 64


@dataclass(frozen=True)
class Fit:
    """How near one generator's image comes to the picture: in features, and in pixels of [0, 1] (root mean square)."""

    network: str
    distance: float
    pixel_error: float


@dataclass(frozen=True)
class Projection:
    """The style of a picture, (1, style) or one a layer (1, layers, style), and how well each generator shows it."""

    styles: Tensor
    fits: tuple[Fit, ...]
    info: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, as a whole or not at all."""
        info = {**self.info, "fits": [asdict(fit) for fit in self.fits]}
        write_tensors(path, "projection", {"styles": self.styles}, info)

    @classmethod
    def load(cls, path: str | Path, model: Model) -> Projection:
        """Read what `save` wrote; raises `UsageError` for another file, `NasError` for another model's."""
        tensors, info = read_tensors(path, "projection", model, MAKE)
        styles = tensors.get("styles")
        if styles is None or styles.ndim not in (2, 3) or styles.shape[-1] != generator_family(model).style:
            raise UsageError(f"{path} holds no styles of {model.name}; make one with `{MAKE}`")
        fits = tuple(Fit(**fit) for fit in info.pop("fits", ()))
        return cls(styles, fits, info)


@dataclass(frozen=True)
class ProjectionSettings:
    """How long and for what to search; `pixel_weight` counts the mean squared pixel error against the distance."""

    steps: int = 150
    polish: int = 20
    rate: float = 0.1
    pixel_weight: float = 10.0
    per_layer: bool = False


def project(
    model: Model,
    picture: Tensor,
    subnets: Mapping[str, Subnet] | None = None,
    *,
    label: int | None = None,
    seed: int = 0,
    settings: ProjectionSettings | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Projection:
    """Return the style of `picture`, (1, 3, size, size) in [0, 1], that the full generator and `subnets` share.

    Without `label` the search starts in the class whose images come nearest. Raises `NasError` when the loss is no
    number.
    """
    with _quick_threads(picture):
        return _project(
            model, picture, subnets or {}, label, seed, settings or ProjectionSettings(), progress
        )


@contextmanager
def _quick_threads(picture: Tensor) -> Iterator[None]:
    """One thread for small images: two wait for each other, on a busy machine for longer than they compute."""
    before = torch.get_num_threads()
    if picture.shape[-1] <= _SMALL_PIXELS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _project(
    model: Model,
    picture: Tensor,
    subnets: Mapping[str, Subnet],
    label: int | None,
    seed: int,
    settings: ProjectionSettings,
    progress: Callable[[int, int, str], None] | None,
) -> Projection:
    wanted = {"full": model.space.largest(), **subnets}
    networks = {name: load_generator(model, subnet) for name, subnet in wanted.items()}
    loss = _Loss(model, networks, picture, settings.pixel_weight)
    start, mean, spread, found = _start(model, networks["full"], loss, label, seed)
    if settings.per_layer:
        start, mean, spread = (value.expand(networks["full"].layers, -1) for value in (start, mean, spread))
    search = _Search(loss, mean, spread, ((start - mean) / spread)[None], seed, settings, progress)
    search.adam()
    search.polish()
    styles = search.styles().detach()
    info = {
        "model": model.name,
        "weights": weights_digest(model),
        "class": None if found is None else model.classes[found],
        "seed": seed,
        "features": DEFAULT,
        **asdict(settings),
        "subnets": {name: subnet.to_dict() for name, subnet in wanted.items()},
    }
    return Projection(styles, loss.fits(styles), info)


class _Loss:
    """The distance of the images of a style to the picture, each generator's at its own resolution."""

    def __init__(
        self, model: Model, networks: Mapping[str, Generator], picture: Tensor, pixel_weight: float
    ) -> None:
        self._model, self._networks, self._weight = model, networks, pixel_weight
        self._space: FeatureSpace = feature_space()
        self._targets = {
            size: F.interpolate(
                picture, size=(size, size), mode="bilinear", antialias=True, align_corners=False
            )
            for size in {_size(network) for network in networks.values()}
        }

    def _parts(self, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each generator and style the feature distance and the mean squared pixel error, (n, b) each."""
        made = [unit(self._model, network.synthesize(styles)) for network in self._networks.values()]
        truth = [self._targets[images.shape[-1]].expand_as(images) for images in made]
        squared = [(a - b).square().mean((1, 2, 3)) for a, b in zip(made, truth, strict=True)]
        # All generators' images go through the features at once: a small network's time is that of its calls.
        size = max(self._targets)
        first, second = (torch.cat([full_size(images, size) for images in each]) for each in (made, truth))
        distance = self._space.distances(2 * first - 1, 2 * second - 1)
        return distance.view(len(made), -1), torch.stack(squared)

    def __call__(self, styles: Tensor) -> Tensor:
        """Return (b,)."""
        distance, squared = self._parts(styles)
        return (distance + self._weight * squared).mean(0)

    @torch.no_grad()
    def fits(self, styles: Tensor) -> tuple[Fit, ...]:
        distance, squared = self._parts(styles)
        return tuple(
            Fit(name, float(distance[row].mean()), float(squared[row].mean().sqrt()))
            for row, name in enumerate(self._networks)
        )


def _size(network: Generator) -> int:
    return max(picture.shape[-1] for picture in network.noises.buffers())


@torch.no_grad()
def _start(
    model: Model, network: Generator, loss: _Loss, label: int | None, seed: int
) -> tuple[Tensor, Tensor, Tensor, int | None]:
    """Return the best of the mean styles and some random ones, with the mean and spread (style,) of its class."""
    classes = generator_family(model).classes
    labels: list[int | None] = [label] if label is not None or not classes else [*range(classes)]
    means = [mean_style(network, shares) for shares in class_shares(model, [each or 0 for each in labels])]
    drawn = [labels[index % len(labels)] for index in range(_STARTS)]
    seeds = [seed * (_STARTS + _SPREAD_STYLES) + index for index in range(_STARTS)]
    base = torch.stack([means[labels.index(each)] for each in drawn])
    random = base + _START_TRUNCATION * (network.map(latents(model, seeds, drawn)) - base)
    candidates = torch.cat([torch.stack(means), random])
    best = int(torch.cat([loss(part) for part in candidates.split(16)]).argmin())
    found = [*labels, *drawn][best]
    around = latents(model, range(_SPREAD_STYLES), [found] * _SPREAD_STYLES)
    spread = network.map(around).std(0).clamp_min(1e-6)
    return candidates[best], means[labels.index(found)], spread, found


class _Search:
    """The optimisation, in units of the spread of the styles around their mean."""

    def __init__(
        self,
        loss: _Loss,
        mean: Tensor,
        spread: Tensor,
        start: Tensor,
        seed: int,
        settings: ProjectionSettings,
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        self._loss, self._mean, self._spread, self._settings = loss, mean, spread, settings
        self._progress = progress
        self._point = start.clone().requires_grad_()
        self._random = torch.Generator().manual_seed(seed)

    def styles(self, noise: Tensor | float = 0.0) -> Tensor:
        return self._mean + self._spread * (self._point + noise)

    def _objective(self, noise: Tensor | float = 0.0) -> Tensor:
        value = self._loss(self.styles(noise)).mean() + _PRIOR * self._point.square().mean()
        if not isfinite(float(value.detach())):
            raise NasError("the loss of the projection is no number any more; give a lower --rate")
        return value

    def _report(self, done: int, value: float) -> None:
        if self._progress is not None:
            self._progress(done, self._settings.steps + self._settings.polish, f"loss {value:.4f}")

    def adam(self) -> None:
        optimizer = torch.optim.Adam([self._point], lr=self._settings.rate)
        for step in range(self._settings.steps):
            share = step / self._settings.steps
            warm, cool = min(1.0, (share + 1e-2) / _WARM_UP), 0.5 + 0.5 * cos(pi * share)
            optimizer.param_groups[0]["lr"] = self._settings.rate * warm * cool
            scale = _NOISE * max(0.0, 1 - share / _NOISE_UNTIL) ** 2
            noise = scale * torch.randn(self._point.shape, generator=self._random)
            optimizer.zero_grad()
            value = self._objective(noise)
            value.backward()
            optimizer.step()
            self._report(step + 1, float(value.detach()))

    def polish(self) -> None:
        if not self._settings.polish:
            return
        before = self._point.detach().clone()
        first = float(self._objective().detach())
        optimizer = torch.optim.LBFGS(
            [self._point], max_iter=self._settings.polish, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = self._objective()
            value.backward()
            return value

        optimizer.step(closure)  # pyright: ignore[reportArgumentType]
        last = float(self._objective().detach())
        if last > first:
            self._point.data.copy_(before)
        self._report(self._settings.steps + self._settings.polish, min(first, last))
