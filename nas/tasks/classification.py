"""Image classification as a task: subnets are judged by their top-1 on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nas import train
from nas.compress import REPAIRED
from nas.data.dataset import Data
from nas.data.pictures import Photographs
from nas.errors import UsageError
from nas.metrics.accuracy import chosen, inputs, pictures, require_classes
from nas.models import Evaluator, Examples, Model, Preprocessing, Quality, Task, Training, own_examples
from nas.models.task import SPLIT_WORDS, Forward, Split
from nas.space import Subnet
from nas.tasks.agreement import AGREEMENT, DIVERGENCE, BesideFull, is_adopted

TOP1 = Quality("top1", "top-1", "%", bounds=(0.0, 100.0))
CALIBRATION_IMAGES = 2048
_ENOUGH = 256  # images, or as many as a model has for calibration
_KEPT_BYTES = 256 << 20  # 5,000 images of 32 pixels take 61 MB, of 224 pixels 3 GB


class Top1(Evaluator):
    """Top-1 in percent on uint8 `images` (n, 3, h, w), or photographs, with `labels` (n,)."""

    quality = TOP1

    def __init__(
        self, images: Tensor | Photographs, labels: Tensor, data: str, calibration: Tensor | None = None
    ) -> None:
        self.images, self.labels, self.data, self.calibration = images, labels, data, calibration
        self._prepared: dict[tuple[int, ...], list[Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": {}}

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        """Return the top-1 of `forward`."""
        right = done = 0
        for batch in self._inputs(model, subnet):
            right += int((forward(batch).argmax(1) == self.labels[done : done + len(batch)]).sum())
            done += len(batch)
        return 100 * right / len(self.labels)

    def _inputs(self, model: Model, subnet: Subnet) -> Iterable[Tensor]:
        """Return the images as `subnet` takes them: small ones are fitted to each size once and kept."""
        shape = tuple(model.family.example_input(subnet).shape[1:])
        if shape in self._prepared:
            return self._prepared[shape]
        images = self.images
        if isinstance(images, Photographs):
            how = model.preprocessing(subnet)
            images = images.at(how.size, how.shorter_side, how.interpolation)
        batches = inputs(images, model.supernet, subnet, model.normalize)
        if 4 * len(images) * prod(shape) > _KEPT_BYTES:
            return batches
        return self._prepared.setdefault(shape, [*batches])


class Classification(Task):
    """Labelled images in, one logit for each class out."""

    name = "classification"
    qualities = (TOP1, AGREEMENT, DIVERGENCE)

    def qualities_of(self, model: Model) -> tuple[Quality, ...]:
        """Return all for networks that were adopted; subnets of trained supernets have a top-1 of their own.

        On made-up pictures, for which the full network has few answers, the divergence tells subnets apart and the
        agreement hardly does (EfficientNet-Lite0: rank correlations with top-1 of 0.6 and 0.3; on photographs 1 and 1).
        """
        if not is_adopted(model):
            return (TOP1,)
        return self.qualities if model.info.get(REPAIRED) else (TOP1, DIVERGENCE, AGREEMENT)

    def trainings(self) -> Mapping[str, Training]:
        return {
            "train": Training(
                train.recipe_names, train.load_recipe, train.train, starts=True, remark=_shortened
            ),
            "distil": Training(
                train.distillation_names,
                train.load_recipe,
                train.train_distilled,
                starts=True,
                remark=_shortened,
            ),
        }

    def needs_data(self, quality: Quality) -> bool:
        return quality == TOP1

    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Data | None = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> Evaluator:
        if quality != TOP1:
            return self._beside_full(model, quality, data, split, limit)
        if data is None:
            raise UsageError(f"{quality.label} is measured on labelled images; name some with --data")
        require_classes(data, model.classes)
        few = CALIBRATION_IMAGES if data.in_memory else CALIBRATION_IMAGES // 4
        calibration, _ = pictures(data, "train", model.preprocessing(), few)
        if data.in_memory:
            images, labels = pictures(data, split, model.preprocessing(), limit)
        else:
            images = Photographs(chosen(data, split, limit))
            labels = images.labels
        return Top1(images, labels, f"{len(labels)} {SPLIT_WORDS[split]} images of {data.name}", calibration)

    def _beside_full(
        self, model: Model, quality: Quality, data: Data | None, split: Split, limit: int | None
    ) -> BesideFull:
        """Return what compares subnets with the full network: on images, of which no labels are used."""
        if data is None:
            x, what = self.inputs(model, model.space.largest(), _ENOUGH)
        else:
            images, _ = pictures(data, split, model.preprocessing(), limit)
            x, what = model.normalize(images), f"{SPLIT_WORDS[split]} images of {data.name}"
        return BesideFull(model, quality, x.split(32), f"{len(x)} {what}")

    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Tensor, str]:
        images = model.calibration_images() if images is None else images
        if images is None:
            return model.family.example_input(subnet, count), "noise"
        x = model.family.prepare(model.normalize(images[:count]), subnet)
        return x.contiguous(), "calibration images"

    def examples(self, model: Model, count: int, data: Data | None = None, *, seed: int = 0) -> Examples:
        """Return labelled training images with the cross-entropy; without data calibration images."""
        if data is None:
            return own_examples(self, model, count)
        require_classes(data, model.classes)
        few = None if data.in_memory else count
        images, labels = pictures(data, "train", model.preprocessing(), few)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:count]
        largest = model.space.largest()
        batches = [
            (model.family.prepare(model.normalize(images[rows]), largest).contiguous(), labels[rows])
            for rows in order.split(32)
        ]
        return Examples(batches, f"{len(order)} training images of {data.name}", F.cross_entropy)

    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        text = f"Input: float32, {' × '.join(['N', *map(str, shape)])} (any N)"
        if how.mean:
            text += (
                f", channels first, {_fitted(how)}, scaled to [0, 1] and normalised: "
                f"`(x - mean) / std` with mean {_numbers(how.mean)} and std {_numbers(how.std)}. "
                "**The files do not normalise by themselves.**"
            )
        text += f"\n\nOutput: one logit for each of {len(classes)} classes"
        if 0 < len(classes) <= 20:
            text += ": " + ", ".join(classes)
        elif classes:
            text += " (names in `manifest.json`)"
        return text + "."

    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        if len(how.mean) == 3 and len(shape) == 3:
            code = _PICTURES.format(_numbers(how.mean), _numbers(how.std))
            if not how.size:
                title = "An input batch from picture files (bilinear, antialiased, as the network was calibrated):"
                return title, _WHOLE.format(shape[2], shape[1]) + code
            cut = _CENTRE.format(how.shorter_side, shape[2], shape[1], how.interpolation.upper())
            return "An input batch from picture files, as the network was judged:", cut + code
        title = "An input batch (noise, for the shape and type):"
        return title, _NOISE.format(", ".join(map(str, shape)))


def _shortened(whole: Any, chosen: Any, changes: Mapping[str, Any]) -> str:
    if "warmup_epochs" in changes or chosen.warmup_epochs == whole.warmup_epochs:
        return ""
    return (
        f"the warm-up is shortened with the run: {chosen.warmup_epochs:.3g} of {chosen.epochs} epochs instead of "
        f"{whole.warmup_epochs:g} of {whole.epochs}"
    )


def _fitted(how: Preprocessing) -> str:
    """Say what becomes of a picture before it is normalised."""
    if not how.size:
        return "resized to this resolution"
    side = f"resized ({how.interpolation}, antialiased) to a shorter side of {how.shorter_side}"
    return f"{side} and cut at the centre to this resolution"


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in values) + "]"


_WHOLE = """
import numpy as np
from PIL import Image
images = [Image.open(name).convert("RGB").resize(({}, {}), Image.Resampling.BILINEAR) for name in names]
"""

_CENTRE = """
import numpy as np
from PIL import Image
def fitted(image, side={}, width={}, height={}):
    size = [int(side * edge / min(image.size)) for edge in image.size]
    image = image.resize(size, Image.Resampling.{})
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
images = [fitted(Image.open(name).convert("RGB")) for name in names]
"""

_PICTURES = """\
x = ((np.stack(images) / 255 - {}) / {}).transpose(0, 3, 1, 2).astype("float32")
"""

_NOISE = """
import numpy as np
x = np.random.default_rng(0).standard_normal((1, {}), dtype="float32")
"""
