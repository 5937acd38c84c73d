"""How good a pipeline's images are: what a classifier sees in them, and how near they are to another pipeline's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion.pipeline.inputs.captions import TEMPLATES, class_prompt
from diffusion.pipeline.sampling.generate import SamplingSettings, generate, is_conditional, takes_classes
from nas.errors import UsageError
from nas.metrics import similarity
from nas.metrics.accuracy import fold_batch_norm
from nas.models import load_model

CLASSIFIER = "mbv3-cifar10"
WINDOW = 11
"""The pixels of SSIM's window."""
_BATCH = 250
_Z95 = 1.959964

Advance = Callable[[int, int], object]


@dataclass(frozen=True)
class Match:
    """Share of images in which the classifier sees what was asked for, in percent, with its 95% interval.

    Attributes:
        by_prompt: the same share for each prompt alone.
    """

    classifier: str
    images: int
    percent: float
    low: float
    high: float
    by_prompt: dict[str, float]


@dataclass(frozen=True)
class Difference:
    """How far images are from another pipeline's of the same prompts and seeds.

    Attributes:
        psnr_db: of all pixels together; infinite for equal images.
        ssim: mean structural similarity, 1 for equal images; None for images that are too small for it.
        latent: root mean square error of the final latents relative to their size; None where shapes differ.
    """

    images: int
    psnr_db: float
    ssim: float | None
    latent: float | None


class Classifier:
    """The largest network of one of our classifiers."""

    def __init__(self, name: str = CLASSIFIER) -> None:

        model = load_model(name)
        if model.task.name != "classification" or len(model.mean) != 3:
            raise UsageError(f"{name} is no classifier of colour images; name one such as {CLASSIFIER}")
        self.name, self.classes, self._model = model.name, tuple(model.classes), model
        self._network = model.extract(model.space.largest()).eval()
        fold_batch_norm(self._network)

    @torch.inference_mode()
    def labels(self, pictures: np.ndarray) -> np.ndarray:
        """Return the class (n,) of each picture, uint8 (n, h, w, 3)."""
        found = []
        for part in torch.from_numpy(pictures).permute(0, 3, 1, 2).split(_BATCH):
            if tuple(part.shape[-2:]) != self._model.image_size:
                resized = F.interpolate(
                    part.float(),
                    size=self._model.image_size,
                    mode="bilinear",
                    antialias=True,
                    align_corners=False,
                )
                part = resized.round().clamp(0, 255).to(torch.uint8)
            given = self._model.normalize(part).contiguous(memory_format=torch.channels_last)
            found.append(self._network(given).argmax(1))
        return torch.cat(found).numpy()

    def class_of(self, prompt: str) -> int | None:
        """Return which class a prompt asks for: the only one that it names, or None."""
        words = f" {prompt.lower()} "
        named = [i for i, name in enumerate(self.classes) if f" {name.lower().replace('_', ' ')} " in words]
        return named[0] if len(named) == 1 else None


@cache
def classifier(name: str = CLASSIFIER) -> Classifier:
    """Return a classifier, loaded once."""
    with torch.inference_mode(False):
        return Classifier(name)


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95% confidence interval of a share in percent (Wilson 1927)."""
    if count < 1:
        raise UsageError(f"a share of {count} images has no interval; give at least one image")
    share, z2 = right / count, _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return 100 * max(0.0, min(share, centre - half)), 100 * min(1.0, max(share, centre + half))


def class_prompts(evaluator: Classifier) -> list[str]:
    """Return the fixed prompt set: one for each of the classifier's classes, "a photo of a ship"."""
    return [class_prompt(name) for name in evaluator.classes]


def prompts_for(pipeline: Any, evaluator: Classifier) -> list[str]:
    """Return the fixed prompt set for a pipeline: texts, names of its classes that the classifier knows, or none."""
    if is_conditional(pipeline):
        return class_prompts(evaluator)
    if not takes_classes(pipeline):
        return []
    return [name for name in evaluator.classes if name in pipeline.labels]


def prompts_and_seeds(prompts: Sequence[str], images: int, seed: int) -> tuple[list[str], list[int]]:
    """Return `images` prompts in turn, each with a seed of its own from `seed` on."""
    return [prompts[i % len(prompts)] for i in range(images)], list(range(seed, seed + images))


def require_classes(prompts: Sequence[str], evaluator: Classifier) -> dict[str, int]:
    """Return the class that each prompt names; raises `UsageError` for one that names none, or several."""
    wanted: dict[str, int] = {}
    for prompt in dict.fromkeys(prompts):
        label = evaluator.class_of(prompt)
        if label is None:
            raise UsageError(
                f"the prompt {prompt!r} does not name exactly one class of {evaluator.name} "
                f"({', '.join(evaluator.classes)}); use prompts such as {TEMPLATES[0].format('a ship')!r}"
            )
        wanted[prompt] = label
    return wanted


def match(pictures: np.ndarray, prompts: Sequence[str], evaluator: Classifier) -> Match:
    """Evaluate pictures, uint8 (n, h, w, 3), by the class that each one's prompt names.

    Raises `UsageError` for a prompt that names none of the classifier's classes, or several.
    """
    wanted = require_classes(prompts, evaluator)
    right = evaluator.labels(pictures) == np.asarray([wanted[prompt] for prompt in prompts])
    by_prompt = {
        prompt: 100 * float(right[[p == prompt for p in prompts]].mean()) for prompt in dict.fromkeys(prompts)
    }
    low, high = interval(int(right.sum()), len(right))
    return Match(evaluator.name, len(right), 100 * float(right.mean()), low, high, by_prompt)


def evaluate_match(
    pipeline: Any,
    prompts: Sequence[str] | None = None,
    *,
    images: int = 500,
    seed: int = 0,
    settings: SamplingSettings | None = None,
    evaluator: Classifier | None = None,
    advance: Advance | None = None,
) -> Match:
    """Make `images` images of the prompts in turn (default: one prompt a class) and evaluate them.

    Errors are those of `match`; they come before the first image.
    """
    evaluator = evaluator or classifier()
    asked, seeds = prompts_and_seeds(prompts or class_prompts(evaluator), images, seed)
    require_classes(asked, evaluator)
    return match(generate(pipeline, asked, seeds, settings, advance=advance), asked, evaluator)


def compare(
    pipeline: Any,
    other: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings | None = None,
    *,
    other_settings: SamplingSettings | None = None,
) -> Difference:
    """Compare a pipeline's images with another's of the same prompts and seeds."""
    settings = settings or SamplingSettings()
    runs = ((pipeline, settings), (other, other_settings or settings))
    first, second = (generate(each, prompts, seeds, how) for each, how in runs)
    if first.shape != second.shape:
        raise UsageError(
            f"the pipelines make images of {first.shape[1:3]} and {second.shape[1:3]} pixels; compare two of one size"
        )
    return compare_pictures(
        first, second, *(generate(each, prompts, seeds, how, latents=True) for each, how in runs)
    )


def compare_pictures(
    first: np.ndarray, second: np.ndarray, latents: np.ndarray, others: np.ndarray
) -> Difference:
    """Compare pictures, uint8 (n, h, w, 3), and their final latents with the `second` and their `others`.

    Pictures of less than 11 pixels have no SSIM.
    """
    small = min(first.shape[1:3]) < WINDOW
    return Difference(
        len(first),
        psnr(first, second),
        None if small else ssim(first, second),
        relative_error(latents, others) if latents.shape == others.shape else None,
    )


def relative_error(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square error relative to the root mean square of `truth`."""
    size = float(np.sqrt(np.square(truth, dtype=np.float64).mean()))
    return float(np.sqrt(np.square(values.astype(np.float64) - truth).mean())) / max(size, 1e-12)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of uint8 pictures, over all their pixels together."""
    a, b = (torch.from_numpy(each)[None].double() for each in (first, second))
    return float(similarity.psnr(a, b, peak=255))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean structural similarity of uint8 pictures (n, h, w, 3) (Wang et al. 2004).

    A Gaussian window of deviation 1.5 and 11 pixels, on each channel, where it fits whole; pictures smaller than that
    raise `UsageError`.
    """
    a, b = (torch.from_numpy(each).permute(0, 3, 1, 2).double() for each in (first, second))
    if min(a.shape[-2:]) < WINDOW:
        raise UsageError(
            f"pictures of {a.shape[-1]} × {a.shape[-2]} pixels are too small for SSIM, which needs {WINDOW}"
        )
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-(places**2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(a.shape[1], 1, WINDOW, WINDOW)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=x.shape[1])

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())
