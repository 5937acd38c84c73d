"""Image to image as a task: subnets are judged by how near their pictures come to the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_compress.original import with_weights
from gan_compress.pix2pix.pairs import SAME, get_pairs, psnr, to_bytes
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import UsageError
from nas.metrics.features import DEFAULT, feature_space
from nas.models import SPLIT_WORDS, Evaluator, Forward, Model, Preprocessing, Quality, Split, Task, Training
from nas.space import Subnet

PSNR = Quality("psnr", "PSNR", "dB", bounds=(0.0, float("inf")))
DISTANCE = Quality(
    "distance",
    f"distance to the true pictures ({DEFAULT} features)",
    higher_is_better=False,
    bounds=(0.0, float("inf")),
)
CALIBRATION_IMAGES = 512
VALIDATION_PICTURES = 1000
"""What subnets are ranked on; the features of a picture cost more than most subnets. Tests take all pictures."""
_BATCH = 100


def model_pairs(model: Model) -> str:
    """Return what the model's inputs are made of, as its training noted it; raises `UsageError` where none did."""
    pairs = model.info.get("pairs")
    if not pairs:
        raise UsageError(
            f"{model.name} does not say what its inputs are made of, so there are no true pictures to compare with; "
            f"compress it: nas gan compress --start {model.path} --set pairs={SAME} makes a model that says"
        )
    return str(pairs)


class PictureEvaluator(Evaluator):
    """Compares what a subnet makes with the `truth`, uint8 (n, 3, h, w), of which `pairs` make its inputs.

    With the pairs "same" the pictures are inputs, and what the full generator makes of them is the truth.
    """

    def __init__(
        self, quality: Quality, truth: Tensor, pairs: str, data: str, calibration: Tensor | None = None
    ) -> None:
        self.quality, self.data, self.calibration = quality, data, calibration
        self._pictures, self._pairs = truth, pairs
        self._full: list[Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_full": None}

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        """Return the mean over pictures: of PSNR in dB, or of the distance in features."""
        degrade, total = get_pairs(self._pairs), 0.0
        batches = [batch.float() / 127.5 - 1 for batch in self._pictures.split(_BATCH)]
        for given, truth in zip(map(degrade, batches), self._truth(model, batches), strict=True):
            made = forward(model.family.prepare(given, subnet).contiguous())
            total += float(self._compare(made, truth).sum())
        return total / len(self._pictures)

    def _truth(self, model: Model, batches: list[Tensor]) -> list[Tensor]:
        if self._pairs != SAME:
            return batches
        if self._full is None:
            full = with_weights(model)
            network = full.extract(full.space.largest())
            self._full = [network(batch) for batch in batches]
        return self._full

    def _compare(self, made: Tensor, truth: Tensor) -> Tensor:
        return psnr(made, truth) if self.quality == PSNR else feature_space().distances(made, truth)


class Translation(Task):
    """Pictures in, pictures of the same size out."""

    name = "translation"
    qualities = (PSNR, DISTANCE)

    def trainings(self) -> Mapping[str, Training]:
        return {"train": Training.of("gan_compress.pix2pix.training", starts=True)}

    def needs_data(self, quality: Quality) -> bool:
        return True

    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Data | None = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> PictureEvaluator:
        if data is None:
            raise UsageError(f"{quality.label} compares with true pictures; name some with --data")

        pairs, size = model_pairs(model), model.image_size[0]
        most = min(limit or VALIDATION_PICTURES, VALIDATION_PICTURES) if split == "val" else limit
        truth = real_images(data, size, split, most).pixels
        source = real_images(data, size, limit=CALIBRATION_IMAGES).pixels
        return PictureEvaluator(
            quality,
            truth,
            pairs,
            f"{len(truth)} {SPLIT_WORDS[split]} pictures of {data.name}, "
            + ("beside the full generator" if pairs == SAME else pairs),
            to_bytes(get_pairs(pairs)(source.float() / 127.5 - 1)),
        )

    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Tensor, str]:
        images = model.calibration_images() if images is None else images
        if images is None:
            return model.family.example_input(subnet, count), "noise"
        x = model.family.prepare(model.normalize(images[:count]), subnet)
        return x.contiguous(), "calibration pictures"

    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        scale = f"mean {_numbers(how.mean)} and std {_numbers(how.std)}"
        return (
            f"Input: float32, {' × '.join(['N', *map(str, shape)])} (any N), channels first: a picture in [0, 1], "
            f"normalised: `(x - mean) / std` with {scale}; values are clipped to -1 … 1. Height and width are fixed in "
            "the ONNX and torch.export files, in the safetensors file they may be any multiples of 4 from 16 on.\n\n"
            "Output: float32 of the same height and width, channels first, -1 … 1; `(y + 1) / 2` is the picture."
        )

    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        if shape[0] != 3:
            return "An input batch (noise, for the shape and type):", _NOISE.format(
                ", ".join(map(str, shape))
            )
        return "An input batch from a picture file:", _PICTURE.format(
            shape[2], shape[1], _numbers(how.mean), _numbers(how.std)
        )


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in values) + "]"


_PICTURE = """
import numpy as np
from PIL import Image
image = Image.open(name).convert("RGB").resize(({}, {}), Image.Resampling.BILINEAR)
x = ((np.asarray(image)[None] / 255 - {}) / {}).transpose(0, 3, 1, 2).astype("float32")
"""

_NOISE = """
import numpy as np
x = np.random.default_rng(0).uniform(-1, 1, (1, {})).astype("float32")
"""
