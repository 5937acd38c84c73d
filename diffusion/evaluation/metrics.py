"""Figures of images beside prompt match, each in a feature space that it names.

Distances in the features of our own classifier need nothing. CLIP score, LPIPS and FID are computed by torchmetrics
where their weights are on this machine: nothing is downloaded, and no file is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.errors import NasError, UsageError, how_to_install
from nas.metrics.features import DEFAULT, feature_space, fid, kid
from nas.models.plain import read_plain

CACHE = "cache"
"""Stands for the file or folder that the libraries themselves have downloaded before."""
CLIP = "openai/clip-vit-base-patch16"
_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
_ALEX = "alexnet-owt-7be5be79.pth"
_BATCH = 50
_CHANNELS = {"alex": 11, "vgg": 3}  # the size of the first kernel tells the networks apart

Pictures = np.ndarray
"""uint8 (n, height, width, 3)."""


@dataclass(frozen=True)
class Figure:
    """A figure of `images` images: what it is called, in which features it is, and what it compares with."""

    name: str
    value: float
    features: str
    images: int
    against: str = ""
    higher_is_better: bool = False


@dataclass(frozen=True)
class Extras:
    """What computes figures that need weights; None where they are not asked for."""

    clip: Callable[[Pictures, Sequence[str]], Figure] | None = None
    lpips: Callable[[Pictures, Pictures, str], Figure] | None = None
    fid: Callable[[Pictures, Pictures, str], Figure] | None = None

    @classmethod
    def opened(cls, clip: str | None, lpips: str | None, inception: str | None) -> Extras:
        """Look for the weights at once, before the minutes that images take; see `open_clip` and its neighbours."""
        return cls(
            None if clip is None else open_clip(clip),
            None if lpips is None else open_lpips(lpips),
            None if inception is None else open_fid(inception),
        )

    def of_prompts(self, made: Pictures, prompts: Sequence[str]) -> list[Figure]:
        """Return the figures of images and their prompts."""
        return [] if self.clip is None else [self.clip(made, prompts)]

    def of_pairs(self, made: Pictures, others: Pictures, against: str) -> list[Figure]:
        """Return the figures of images and others of the same prompts and seeds."""
        return [
            pair_distance(made, others, against),
            *([] if self.lpips is None else [self.lpips(made, others, against)]),
        ]

    def of_sets(self, made: Pictures, real: Pictures) -> list[Figure]:
        """Return the figures of images and real ones."""
        label = f"{len(real)} real images"
        return [
            *set_distances(made, real, label),
            *([] if self.fid is None else [self.fid(made, real, label)]),
        ]


def set_distances(made: Pictures, others: Pictures, against: str, classifier: str = DEFAULT) -> list[Figure]:
    """Return the Fréchet and the kernel distance × 1000 of two sets of images in our own classifier's features."""
    space = feature_space(classifier)
    with torch.inference_mode():
        first, second = (space.vectors(_scaled(each)) for each in (made, others))
    label = f"{space.name} features"
    return [
        Figure("Fréchet distance", fid(first, second), label, len(made), against),
        Figure("kernel distance × 1000", 1000 * kid(first, second), label, len(made), against),
    ]


def pair_distance(made: Pictures, others: Pictures, against: str, classifier: str = DEFAULT) -> Figure:
    """Return the mean distance of pairs of images in our own classifier's features, in the form of LPIPS."""
    space = feature_space(classifier)
    with torch.inference_mode():
        parts = zip(_scaled(made).split(_BATCH), _scaled(others).split(_BATCH), strict=True)
        found = torch.cat([space.distances(a, b) for a, b in parts])
    return Figure("feature distance", float(found.mean()), f"{space.name} features", len(made), against)


def _scaled(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _bytes(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


# --- by torchmetrics --------------------------------------------------------------------------------------------------


def open_clip(place: str) -> Callable[[Pictures, Sequence[str]], Figure]:
    """Return what computes the CLIP score (Hessel et al. 2021) by a model of transformers, a folder or a cached id.

    Raises `UsageError` without torchmetrics, `NasError` where the model is not on this machine.
    """
    from transformers import CLIPModel, CLIPProcessor

    metrics = _package("torchmetrics.multimodal.clip_score")
    name = CLIP if place == CACHE else place
    kinds: tuple[Any, Any] = CLIPModel, CLIPProcessor
    try:
        model = kinds[0].from_pretrained(name, local_files_only=True, use_safetensors=True)
        processor = kinds[1].from_pretrained(name, local_files_only=True)
    except Exception as error:  # transformers fails in many ways
        raise NasError(
            f"the CLIP model {name} is not on this machine, or not as safetensors ({_reason(error)}); give the folder "
            "of a CLIPModel that transformers saved"
        ) from error
    short = Path(name).name if Path(name).is_dir() else name

    def score(made: Pictures, prompts: Sequence[str]) -> Figure:
        metric = metrics.CLIPScore(model_name_or_path=lambda: (_Embeddings(model).eval(), processor))
        with torch.inference_mode():
            for start in range(0, len(made), _BATCH):
                part = slice(start, start + _BATCH)
                metric.update([*_bytes(made[part])], list(prompts[part]))
        value = float(metric.compute())
        return Figure(
            "CLIP score", value, f"{short} features", len(made), "the prompts", higher_is_better=True
        )

    return score


class _Embeddings(nn.Module):
    """A CLIP model whose features are tensors: since transformers 5 they come inside an output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Return the embeddings (n, d) of images."""
        return _tensor(self.model.get_image_features(pixel_values))

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (n, d) of prompts."""
        return _tensor(self.model.get_text_features(input_ids, attention_mask))


def _tensor(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features.pooler_output


def open_lpips(place: str) -> Callable[[Pictures, Pictures, str], Figure]:
    """Return what computes LPIPS (Zhang et al. 2018); `place` is torchvision's file of AlexNet or VGG-16.

    The weights of LPIPS itself come with torchmetrics. Raises as `open_clip`.
    """
    package = _package("torchmetrics.functional.image.lpips")
    file = _cached(place, _ALEX, "--lpips", "torchvision's weights of AlexNet or VGG-16")
    state = read_plain(file, "--lpips", "torchvision's weights of AlexNet or VGG-16")
    first = state.get("features.0.weight") if isinstance(state, Mapping) else None
    kind = next((k for k, size in _CHANNELS.items() if first is not None and first.shape[-1] == size), None)
    if kind is None:
        raise NasError(f"{file} holds neither AlexNet nor VGG-16; give torchvision's weights of one of them")
    network = package._LPIPS(pretrained=True, net=kind, pnet_rand=True, eval_mode=True)
    _fill(network.net, state, file)

    def distance(made: Pictures, others: Pictures, against: str) -> Figure:
        with torch.inference_mode():
            parts = zip(_scaled(made).split(_BATCH), _scaled(others).split(_BATCH), strict=True)
            found = torch.cat([network(a, b).flatten() for a, b in parts])
        name = {"alex": "AlexNet", "vgg": "VGG-16"}[kind]
        return Figure("LPIPS", float(found.mean()), f"{name} features", len(made), against)

    return distance


def _fill(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Give the slices of a backbone the tensors of the layers that they are made of, which keep their numbers."""
    own = network.state_dict()
    given = {name: state.get(f"features.{name.partition('.')[2]}") for name in own}
    lacking = [name for name, tensor in given.items() if tensor is None or tensor.shape != own[name].shape]
    if lacking:
        raise NasError(
            f"{file} lacks the layer features.{lacking[0].partition('.')[2]}; give torchvision's weights"
        )
    network.load_state_dict({name: tensor for name, tensor in given.items() if tensor is not None})


def open_fid(place: str, features: Any = None) -> Callable[[Pictures, Pictures, str], Figure]:
    """Return what computes FID (Heusel et al. 2017); `place` is Inception's file as torch-fidelity has it.

    `features` are others than Inception's: a module of images, uint8 (n, 3, h, w), to (n, d). Raises as `open_clip`.
    """
    metrics, label = _package("torchmetrics.image.fid"), "Inception v3 features"
    options: dict[str, Any] = {"feature": features}
    if features is None:
        _package("torch_fidelity")
        file = _cached(place, _INCEPTION, "--inception", "Inception's weights as torch-fidelity has them")
        read_plain(file, "--inception", "Inception's weights as torch-fidelity has them")
        options = {"feature": 2048, "feature_extractor_weights_path": str(file)}
    else:
        label = f"{type(features).__name__} features"
    try:
        metric = metrics.FrechetInceptionDistance(**options)
    except (RuntimeError, KeyError) as error:
        raise NasError(
            f"{place} is not Inception's file ({_reason(error)}); give the one of torch-fidelity"
        ) from error

    def distance(made: Pictures, others: Pictures, against: str) -> Figure:
        if min(len(made), len(others)) < 2:
            raise UsageError(
                f"FID needs two images or more on each side, not {min(len(made), len(others))}; give more"
            )
        metric.reset()
        with torch.inference_mode():
            for pictures, is_real in ((others, True), (made, False)):
                for part in _bytes(pictures).split(_BATCH):
                    metric.update(part, real=is_real)
        return Figure("FID", float(metric.compute()), label, len(made), against)

    return distance


def _package(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0].replace("_", "-")
        raise UsageError(f"{package} is not installed; {how_to_install('metrics')}") from error


def _cached(place: str, name: str, option: str, wanted: str) -> Path:
    """Return the file that `place` says: itself, or the one that torch has downloaded before."""
    if place != CACHE:
        return Path(place)
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.is_file():
        raise NasError(
            f"{option} {CACHE} asks for {name}, which torch has not downloaded here; give {wanted}"
        )
    return file


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
