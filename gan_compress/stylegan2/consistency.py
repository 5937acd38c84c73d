"""How well subnets keep the full generator's images: in features, pixels and labels, and how smoothly they change.

What a preview needs is that the same latent gives the same picture. Every figure is taken on the same latents, with the
subnet's images enlarged to full size as a viewer shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_compress.stylegan2.edit import label_scores
from gan_compress.stylegan2.family import RATIOS
from gan_compress.stylegan2.generate import generator_family, latents, load_generator, unit
from gan_compress.stylegan2.task import full_size
from nas.metrics.features import feature_space, kid
from nas.models import Model
from nas.space import SpaceError, Subnet

COUNT = 500
_BATCH = 50
_STEP = 1e-2


@dataclass(frozen=True)
class Labelled:
    """Real images, uint8 (n, 3, height, width), with their labels (n,) and the labels' names; none: one label."""

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class Consistency:
    """One subnet beside the full generator.

    Attributes:
        distance: mean feature distance of its images to the full generator's.
        pixel_error: root mean squared error of pixels from 0 to 1.
        path_length: perceptual path length, the mean feature distance of images whose styles differ by a small step,
            over the square of the step's share of the spread of styles (Karras et al. 2019, in the style space).
        path_spread: standard deviation of that over its mean: 0 where every step changes images equally much (the
            regularity that Karras et al. 2020 train for).
        agreement: share of the images that a classifier of the labels gives the same label as the full generator's;
            None without labels.
        kid: kernel distance to the real images × 1000; None without them.
    """

    name: str
    macs: int
    distance: float
    pixel_error: float
    path_length: float
    path_spread: float
    agreement: float | None = None
    kid: float | None = None


def uniform_subnets(model: Model) -> dict[str, Subnet]:
    """Return every width at every output resolution by its name ("0.5@16"), the full generator first.

    Where the space's cap makes two widths one subnet, it has the larger one's name.
    """
    family, found = generator_family(model), {}
    for size in reversed(family.resolutions):
        for ratio in reversed(RATIOS):
            try:
                subnet = family.uniform(ratio, size)
                if subnet not in found.values():
                    found[f"{ratio:g}@{size}"] = subnet
            except SpaceError:  # under some caps a uniform ratio is no choice of every layer
                continue
    return found


@torch.no_grad()
def measure_consistency(
    model: Model,
    subnets: Mapping[str, Subnet],
    labelled: Labelled | None = None,
    *,
    count: int = COUNT,
    progress: Callable[[int, int], None] | None = None,
) -> list[Consistency]:
    """Return the figures of `subnets` on the latents of the seeds 0 to `count` - 1, the classes in turn.

    `labelled` images give the agreement of labels and the kernel distance, images of fewer than two labels only that.
    Raises `UsageError` for a model that is no generator.
    """
    inputs = latents(model, range(count))
    full = _Images(model, model.space.largest(), inputs)
    reference = None if labelled is None else _Reference(labelled, full)
    rows = []
    for place, (name, subnet) in enumerate(subnets.items()):
        own = _Images(model, subnet, inputs)
        lengths = own.path_lengths()
        rows.append(
            Consistency(
                name,
                model.supernet.count(subnet).macs,
                own.distance(full),
                own.pixel_error(full),
                float(lengths.mean()),
                float(lengths.std() / lengths.mean()),
                *(reference.compared(own) if reference else ()),
            )
        )
        if progress is not None:
            progress(place + 1, len(subnets))
    return rows


class _Reference:
    """The features and labels of real images, and the labels that they give the full generator's images."""

    def __init__(self, labelled: Labelled, full: _Images) -> None:
        space = feature_space()
        parts = labelled.images.split(_BATCH)
        self._real = torch.cat([space.vectors(part.float() / 127.5 - 1) for part in parts])
        self._score = None
        if len(labelled.labels.unique()) > 1:
            self._score = label_scores(self._real, labelled.labels, labelled.names)
            self._told = self._score(full.vectors()).argmax(1)

    def compared(self, own: _Images) -> tuple[float | None, float]:
        """Return the agreement of labels, None where there are none, and the kernel distance × 1000 of a subnet."""
        vectors = own.vectors()
        agreement = None
        if self._score is not None:
            agreement = float((self._score(vectors).argmax(1) == self._told).float().mean())
        return agreement, 1000 * kid(vectors, self._real)


class _Images:
    """The images of a subnet's fixed latents, in [-1, 1] at their own size."""

    def __init__(self, model: Model, subnet: Subnet, inputs: Tensor) -> None:
        self._model, self._network = model, load_generator(model, subnet)
        self._styles = torch.cat([self._network.map(part) for part in inputs.split(_BATCH)])
        self.images = torch.cat([self._made(part) for part in self._styles.split(_BATCH)])

    def _made(self, styles: Tensor) -> Tensor:
        return 2 * unit(self._model, self._network.synthesize(styles)).clamp(0, 1) - 1

    def vectors(self) -> Tensor:
        """Return the features (n, d) of the images."""
        return feature_space().vectors(self.images)

    def distance(self, full: _Images) -> float:
        """Return the mean feature distance to the full generator's images."""
        pairs = zip(self._shown(full).split(_BATCH), full.images.split(_BATCH), strict=True)
        return float(torch.cat([feature_space().distances(a, b) for a, b in pairs]).mean())

    def pixel_error(self, full: _Images) -> float:
        """Return the root mean squared error of pixels in [0, 1]."""
        return float((self._shown(full) - full.images).square().mean().sqrt() / 2)

    def _shown(self, full: _Images) -> Tensor:
        return full_size(self.images, full.images.shape[-1])

    def path_lengths(self) -> Tensor:
        """Return (n,): how much a small step from each style towards the next one's changes the image."""
        towards = self._styles.roll(-1, 0) - self._styles
        unit_step = towards / towards.norm(dim=1, keepdim=True).clamp_min(1e-12)
        spread = (self._styles - self._styles.mean(0)).norm(dim=1).mean()
        moved = self._styles + _STEP * spread * unit_step
        steps = zip(self.images.split(_BATCH), moved.split(_BATCH), strict=True)
        distances = [feature_space().distances(a, self._made(styles)) for a, styles in steps]
        return torch.cat(distances) / _STEP**2
