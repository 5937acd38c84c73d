"""Image generation as a task: subnets are judged by how near they come to the full generator, or to real images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_compress.original import with_weights
from gan_compress.stylegan2.family import StyleGAN2
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import UsageError
from nas.metrics.features import DEFAULT, feature_space, kid
from nas.models import SPLIT_WORDS, Evaluator, Forward, Model, Preprocessing, Quality, Split, Task, Training
from nas.space import Subnet

DISTANCE = Quality(
    "distance", "distance to the full generator", higher_is_better=False, bounds=(0.0, float("inf"))
)
KID = Quality("kid", f"KID × 1000 ({DEFAULT} features)", higher_is_better=False)
CONSISTENCY_LATENTS, DISTRIBUTION_LATENTS = 256, 2000
_BATCH = 100


def latents(model: Model, count: int) -> Tensor:
    """Return the first `count` inputs of a generator from its fixed seed, its classes in turn."""
    return model.family.example_input(model.space.largest(), count)


def resolution_of(model: Model) -> int:
    """Return the width and height of the full generator's images."""
    assert isinstance(model.family, StyleGAN2)
    return model.family.resolution


def full_size(images: Tensor, size: int) -> Tensor:
    """Return images enlarged to `size` pixels as a viewer shows a preview: bilinear."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


class ConsistencyEvaluator(Evaluator):
    """The mean feature distance between a subnet's images, enlarged to full size, and the full generator's."""

    quality = DISTANCE

    def __init__(self, count: int = CONSISTENCY_LATENTS) -> None:
        self.count = count
        self.data = f"{count} latents, {DEFAULT} features"
        self._known: list[tuple[Tensor, list[Tensor], int]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def prepare(self, model: Model) -> Callable[[], None]:
        full, space = with_weights(model), feature_space()
        network, inputs = full.supernet.extract(full.space.largest()).eval(), latents(model, self.count)

        @torch.inference_mode()
        def finish() -> None:
            known = []
            for batch in inputs.split(_BATCH):
                images = network(batch)
                known.append((batch, space.units(images), images.shape[-1]))
            self._known = known

        return finish

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        if self._known is None:
            self.prepare(model)()
        total, space = 0.0, feature_space()
        for batch, wanted, size in self._known or ():
            total += float(space.distances(full_size(forward(batch), size), wanted).sum())
        return total / self.count


class DistributionEvaluator(Evaluator):
    """The kernel distance between generated and real images in a classifier's features, times 1000."""

    quality = KID

    def __init__(self, real_nd: Tensor, data: str, count: int = DISTRIBUTION_LATENTS) -> None:
        self.count, self._real, self.data = count, real_nd, data

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        space = feature_space()
        made = [space.vectors(forward(batch)) for batch in latents(model, self.count).split(_BATCH)]
        return 1000 * kid(torch.cat(made), self._real)


class Generation(Task):
    """Latents in, images out: a generator."""

    name = "generation"
    qualities = (DISTANCE, KID)

    def trainings(self) -> Mapping[str, Training]:
        return {"train": Training.of("gan_compress.stylegan2.training", starts=True)}

    def needs_data(self, quality: Quality) -> bool:
        return quality == KID

    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Data | None = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> Evaluator:
        if quality == DISTANCE:
            return ConsistencyEvaluator()
        if data is None:
            raise UsageError(f"{quality.label} compares with real images; name some with --data")
        # As in training: another way to resize them would count as a distance.
        images = real_images(data, resolution_of(model), split, limit).pixels
        with torch.inference_mode():
            real = feature_space().vectors(images.float() / 127.5 - 1)
        return DistributionEvaluator(
            real, f"{len(images)} {SPLIT_WORDS[split]} images of {data.name}, {DISTRIBUTION_LATENTS} latents"
        )

    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Tensor, str]:
        return latents(model, count), "latents"

    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        text = f"Input: float32, {' × '.join(['N', *map(str, shape)])} (any N): latents, standard normal"
        if classes:
            text += (
                f"; the last {len(classes)} numbers are the shares of the classes, 1 for one and 0 for the others: "
                f"{', '.join(classes[:20])}{', …' if len(classes) > 20 else ''}"
            )
        scale = (
            ", ".join(f"{value:.6g}" for value in how.std),
            ", ".join(f"{value:.6g}" for value in how.mean),
        )
        return (
            f"{text}.\n\nOutput: float32 images, channels first; `y * std + mean`, clipped to [0, 1], with std "
            f"[{scale[0]}] and mean [{scale[1]}] is the picture."
        )

    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        if not classes:
            return "A latent:", _LATENT.format(shape[0])
        return f"A latent and the class {classes[0]}:", _OF_CLASS.format(
            shape[0] - len(classes), len(classes)
        )


_LATENT = """
import numpy as np
x = np.random.default_rng(0).standard_normal((1, {}), dtype="float32")
"""

_OF_CLASS = """
import numpy as np
latent, shares = np.random.default_rng(0).standard_normal((1, {}), dtype="float32"), np.zeros((1, {}), "float32")
shares[0, 0] = 1
x = np.concatenate([latent, shares], axis=1)
"""
